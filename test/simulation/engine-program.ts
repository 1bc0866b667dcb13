import { Duration } from '../../src/base/time.ts';
import type { DStream } from '../../src/dstream/dstream.ts';
import { type State, StateSpec } from '../../src/dstream/map-with-state.ts';
import type { Sink } from '../../src/sinks/sink.ts';
import { StreamingContext } from '../../src/streaming-context.ts';
import type { SimulatedProgram } from '../../src/testing/simulation/driver.ts';
import type { SimulatedRow } from '../../src/testing/simulation/topic.ts';
import type { OperatorShape, ProgramShape, Reading } from './drawn-program.ts';

type Key = string | number;
/** Which row it was: what the append oracle collects. */
type Origin = readonly [partition: number, sequence: number];

/** The drawn program in terms of the engine. */
export function buildProgram(shape: ProgramShape, driver: SimulatedProgram<Reading>): StreamingContext {
  const version = shape.versions[driver.version]!;
  const ssc = new StreamingContext({
    ...driver.contextOptions,
    defaultParallelism: version.parallelism,
    planAhead: shape.planAhead,
    catchUpBatchesMax: shape.catchUpBatchesMax,
    checkpoint: version.checkpoint,
  });
  const rows = ssc.sourceStream(driver.source(), { uid: 'input' });
  for (const [name, operator] of shape.outputs) {
    const stream = buildOperator(driver, rows, name, operator, shape.batchInterval.milliseconds);
    const options = { uid: `${name}-out` };
    if (operator.mode === 'acts') stream.foreachRDD(driver.act(name), options);
    else stream.saveTo(sinkOf(driver, name, operator.mode), options);
  }
  for (const uid of version.drops) ssc.dropState(uid);
  return ssc;
}

function sinkOf(
  driver: SimulatedProgram<Reading>,
  name: string,
  mode: Exclude<OperatorShape['mode'], 'acts'>,
): Sink<unknown> {
  switch (mode) {
    case 'staged':
      return driver.sink(name);
    case 'writes':
      return driver.writer(name);
    case 'transacts':
      return driver.ledger(name);
    case 'outbox':
      return driver.outbox(name);
  }
}

function buildOperator(
  driver: SimulatedProgram<Reading>,
  rows: DStream<SimulatedRow<Reading>>,
  uid: string,
  operator: OperatorShape,
  intervalMs: number,
): DStream<unknown> {
  const origins = rows.map((row): readonly [Key, Origin] => [row.value.key, [row.partition, row.sequence]]);
  const values = rows.map((row): readonly [Key, number] => [row.value.key, row.value.value]);
  const intervals = (count: number): Duration => new Duration(count * intervalMs);
  switch (operator.kind) {
    case 'rows':
      return rows
        .filter((row) => row.value.value % 5 !== 0)
        .map((row): Origin => [row.partition, row.sequence])
        .flatMap((origin) => [origin]);
    case 'sums':
      return values.reduceByKey((a, b) => a + b);
    case 'lists':
      return origins.updateStateByKey(
        driver.flaky((added: readonly Origin[], state: Origin[] | undefined) => {
          // Changes its argument in place, as user code does.
          const list = state ?? [];
          list.push(...added);
          return list.length >= operator.removeAt ? undefined : list;
        }),
        { uid },
      );
    case 'sessions': {
      const spec = StateSpec.function((key: Key, origin: Origin | undefined, state: State<Origin[]>) => {
        if (origin === undefined) return [key, 'over', state.get()] as const;
        const list = [...(state.getOption() ?? []), origin];
        if (list.length >= operator.removeAt) state.remove();
        else state.update(list);
        return [key, 'so far', list] as const;
      });
      const { timeoutIntervals } = operator;
      return origins.mapWithState(timeoutIntervals === undefined ? spec : spec.timeout(intervals(timeoutIntervals)), {
        uid,
      });
    }
    case 'window': {
      const { length, slide, inverse, filter } = operator;
      const pairs = rows.map((row): readonly [Key, readonly [number, number]] => [row.value.key, [1, row.value.value]]);
      const add = (a: readonly [number, number], b: readonly [number, number]) => [a[0] + b[0], a[1] + b[1]] as const;
      if (!inverse) return pairs.reduceByKeyAndWindow(add, intervals(length), intervals(slide), { uid });
      const subtract = (a: readonly [number, number], b: readonly [number, number]) =>
        [a[0] - b[0], a[1] - b[1]] as const;
      return pairs.reduceByKeyAndWindow(add, subtract, intervals(length), intervals(slide), {
        uid,
        ...(filter ? { filter: ([, [count]]: readonly [Key, readonly [number, number]]) => count > 0 } : {}),
      });
    }
    case 'recent':
      return rows
        .map((row): Origin => [row.partition, row.sequence])
        .window(intervals(operator.length), intervals(operator.slide), { uid });
  }
}
