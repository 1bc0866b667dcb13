import { runChild, tellParent } from '../../../scripts/demo/parent-channel.ts';
import { type DStream, Milliseconds, type State, StateSpec, StreamingContext } from '../../../src/index.ts';
import type { VersionsMessage } from './redeploy.test.ts';

/**
 * An application in three versions, in a process of its own. Every key counts its rows and asserts that none is missing or comes
 * twice, so a value that is lost, doubled or read in the wrong form ends the process.
 *
 * 1 stores the last row of a key, 2 stores `{ last, rows }` and has another batch interval, 3 is 2 without its input `more`.
 */
const { CHECKPOINT_URL, STORAGE, VERSION, DIES_AFTER_COMMITS } = process.env;
let commits = 0;
const keys = 20;
// A partition rewrites a thousand values per batch: the migration takes three.
const idle = 2500;

interface Counted {
  readonly last: number;
  readonly rows: number;
}

function define(version: number): StreamingContext {
  const ssc = new StreamingContext({
    appName: `version ${version}`,
    batchInterval: Milliseconds(version === 1 ? 100 : 250),
    defaultParallelism: 1,
    checkpoint: { manifestEveryRecords: 4, silenceThresholdMs: 2000 },
    environment: {
      crashHook: (point) => {
        if (point === 'batch:committed' && ++commits === Number(DIES_AFTER_COMMITS))
          process.kill(process.pid, 'SIGKILL');
      },
    },
  });
  const numbers = ssc.rateStream(400, { uid: 'numbers' });
  const pairs = numbers.map(({ value }): [string, number] => [`k${value % keys}`, value]);
  if (version === 1) {
    const spec = StateSpec.function((key: string, value: number | undefined, state: State<number>) => {
      follow(key, state.getOption(), value!);
      state.update(value!);
      return 1;
    }).initialState(Array.from({ length: idle }, (_, i) => [`idle${i}`, i] as const));
    keepRows(pairs.mapWithState(spec, { uid: 'last' })).print(1);
  } else {
    const spec = StateSpec.function((key: string, value: number | undefined, state: State<Counted>) => {
      const before = state.getOption();
      follow(key, before?.last, value!);
      state.update({ last: value!, rows: (before?.rows ?? 0) + 1 });
      return 1;
    });
    const migrate = (last: number): Counted => ({ last, rows: Math.floor(last / keys) + 1 });
    keepRows(pairs.mapWithState(spec, { uid: 'last', schema: { version: 2, migrate } })).print(1);
    if (version === 2) ssc.rateStream(10, { uid: 'more' }).count().print(1);
    else ssc.dropSource('more');
  }
  return ssc;
}

function follow(key: string, last: number | undefined, value: number): void {
  const expected = last === undefined ? Number(key.slice(1)) : last + keys;
  if (value !== expected) throw new Error(`${key} got ${value} where ${expected} is next`);
}

function keepRows<T>(stream: DStream<T>): DStream<T> {
  return stream.checkpoint(Milliseconds(1000));
}

await runChild(async () => {
  const ssc = await StreamingContext.getOrCreate(CHECKPOINT_URL!, () => define(Number(VERSION)), {
    connectionString: STORAGE,
  });
  ssc.addStreamingListener({
    onBatchCompleted: ({ failureReason, batchTimeMs }) => {
      if (failureReason === undefined) void tellParent({ type: 'batch', batchTimeMs } satisfies VersionsMessage);
    },
  });
  process.on('message', () => void ssc.stop());
  await ssc.start();
  await ssc.awaitTermination();
  await tellParent({ type: 'stopped' } satisfies VersionsMessage);
});
