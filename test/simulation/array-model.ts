import type {
  CommittedBatch,
  ExpectedRows,
  SimulatedFence,
  SimulationModel,
} from '../../src/testing/simulation/line.ts';
import type { SimulatedRow } from '../../src/testing/simulation/topic.ts';
import type { OperatorShape, ProgramShape, Reading } from './drawn-program.ts';

type Row = SimulatedRow<Reading>;
type Origin = readonly [partition: number, sequence: number];

/** What one operator should give for a batch; undefined: nothing runs at this time. `isThere`: the engine gave something. */
type OperatorModel = (batch: CommittedBatch<Reading>, isThere: boolean) => unknown[] | undefined;

/**
 * The drawn program as plain arrays: what every batch should have given, from its rows and those of the batches before
 * it. Shares no code with the engine, not even its notion of a key: the model's keys are JSON texts.
 */
export class ArrayModel implements SimulationModel<Reading> {
  readonly #shape: ProgramShape;
  readonly #onDrop: (name: string, batchId: number) => void;
  readonly #models = new Map<string, OperatorModel>();
  /** Given up state by uid, and the last batch before that: as docs/state.md and `dropState` tell it. */
  #drops: ReadonlyMap<string, number> = new Map();
  #isFirstOfEpoch = false;

  constructor(shape: ProgramShape, onDrop: (name: string, batchId: number) => void) {
    this.#shape = shape;
    this.#onDrop = onDrop;
    for (const name of shape.outputs.keys()) this.#reset(name);
  }

  /** A call of dropState takes effect once. Until a batch has followed it, the next start decides anew. */
  fence({ version, lastBatchId }: SimulatedFence): void {
    const drops = new Map([...this.#drops].filter(([, batchId]) => batchId !== lastBatchId));
    for (const name of this.#shape.versions[version]!.drops) drops.set(name, drops.get(name) ?? lastBatchId);
    this.#drops = drops;
    this.#isFirstOfEpoch = true;
  }

  /** @throws Error naming the first output that differs. */
  batch(batch: CommittedBatch<Reading>): ExpectedRows {
    if (this.#isFirstOfEpoch) {
      for (const [name, batchId] of this.#drops) {
        if (batchId !== batch.batchId - 1) continue;
        this.#onDrop(name, batchId);
        this.#reset(name);
      }
    }
    this.#isFirstOfEpoch = false;
    const afterwards = new Map<string, readonly unknown[]>();
    for (const [name, model] of this.#models) {
      const actual = batch.outputs.get(name)?.flat();
      const expected = model(batch, actual !== undefined);
      const { mode } = this.#shape.outputs.get(name)!;
      if (mode !== 'staged' && mode !== 'acts') {
        afterwards.set(name, expected ?? []);
        continue;
      }
      if (texts(expected) === texts(actual)) continue;
      throw new Error(
        `Output '${name}' of batch ${batch.batchId} (${batch.timeMs} ms, ${batch.rows.length} rows) is ` +
          `${texts(actual)} and should be ${texts(expected)}.`,
      );
    }
    for (const name of batch.outputs.keys()) {
      if (!this.#models.has(name)) throw new Error(`Batch ${batch.batchId} has an output '${name}' of its own.`);
    }
    return afterwards;
  }

  #reset(name: string): void {
    const intervalMs = this.#shape.batchInterval.milliseconds;
    this.#models.set(name, modelOf(this.#shape.outputs.get(name)!, intervalMs));
  }
}

/** In any order: the engine promises an order per key only. */
function texts(rows: readonly unknown[] | undefined): string {
  return rows === undefined ? 'nothing' : `[${rows.map((row) => JSON.stringify(row)).sort()}]`;
}

function modelOf(operator: OperatorShape, intervalMs: number): OperatorModel {
  switch (operator.kind) {
    case 'rows':
      return ({ rows }) => rows.filter(({ value }) => value.value % 5 !== 0).map(originOf);
    case 'sums':
      return ({ rows }) =>
        [...byKey(rows)].map(([key, own]) => [JSON.parse(key), own.reduce((sum, { value }) => sum + value.value, 0)]);
    case 'lists':
      return lists(operator.removeAt);
    case 'sessions':
      return sessions(operator.removeAt, (operator.timeoutIntervals ?? Number.POSITIVE_INFINITY) * intervalMs);
    case 'window':
      return windowed(operator, intervalMs);
    case 'recent':
      return sliding(operator, intervalMs, (rows) => rows.map(originOf));
  }
}

function lists(removeAt: number): OperatorModel {
  const states = new Map<string, Origin[]>();
  return ({ rows }) => {
    for (const [key, own] of byKey(rows)) states.set(key, [...(states.get(key) ?? []), ...own.map(originOf)]);
    for (const [key, list] of states) if (list.length >= removeAt) states.delete(key);
    return [...states].map(([key, list]) => [JSON.parse(key), list]);
  };
}

function sessions(removeAt: number, timeoutMs: number): OperatorModel {
  const states = new Map<string, { readonly list: Origin[]; readonly timeMs: number }>();
  return ({ rows, timeMs }) => {
    const out: unknown[] = [];
    const touched = new Set<string>();
    for (const row of rows) {
      const key = keyOf(row);
      touched.add(key);
      const list = [...(states.get(key)?.list ?? []), originOf(row)];
      if (list.length >= removeAt) states.delete(key);
      else states.set(key, { list, timeMs });
      out.push([row.value.key, 'so far', list]);
    }
    for (const [key, state] of states) {
      if (touched.has(key) || state.timeMs >= timeMs - timeoutMs) continue;
      states.delete(key);
      out.push([JSON.parse(key), 'over', state.list]);
    }
    return out;
  };
}

/** Rows of (t - length, t], at every slide. Which times those are follows from the first one that gave something. */
function sliding(
  { length, slide }: { readonly length: number; readonly slide: number },
  intervalMs: number,
  give: (rows: readonly Row[]) => unknown[],
): OperatorModel {
  let batches: CommittedBatch<Reading>[] = [];
  let phaseMs: number | undefined;
  return (batch, isThere) => {
    batches = [...batches, batch].filter(({ timeMs }) => timeMs > batch.timeMs - length * intervalMs);
    const sinceMs = batch.timeMs % (slide * intervalMs);
    if (phaseMs === undefined && (isThere || slide === 1)) phaseMs = sinceMs;
    if (sinceMs !== phaseMs) return undefined;
    return give(batches.flatMap(({ rows }) => rows));
  };
}

function windowed(
  window: { readonly length: number; readonly slide: number; readonly inverse: boolean; readonly filter: boolean },
  intervalMs: number,
): OperatorModel {
  // With an inverse function and no filter, keys that have left the window keep a neutral value.
  const kept = new Set<string>();
  return sliding(window, intervalMs, (rows) => {
    const groups = byKey(rows);
    if (window.inverse && !window.filter) for (const key of groups.keys()) kept.add(key);
    return [...new Set([...kept, ...groups.keys()])].map((key) => {
      const own = groups.get(key) ?? [];
      return [JSON.parse(key), [own.length, own.reduce((sum, { value }) => sum + value.value, 0)]];
    });
  });
}

function byKey(rows: readonly Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const key = keyOf(row);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  return groups;
}

function keyOf(row: Row): string {
  return JSON.stringify(row.value.key);
}

function originOf({ partition, sequence }: Row): Origin {
  return [partition, sequence];
}
