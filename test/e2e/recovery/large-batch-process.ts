import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { Milliseconds, type State, StateSpec, StreamingContext } from '../../../src/index.ts';
import { keys, roundMs, rounds, topicOf } from './large-batch-rows.ts';

/**
 * Sums per key over files, on the wall clock. Kills itself in the call of the function that `DIE_AT_CALL` says, or at the
 * point `DIE_AT_POINT` when the stream has a state; else it ends when all rows are in.
 */
const { CHECKPOINT, START_MS, DIE_AT_CALL, DIE_AT_POINT } = process.env;
let calls = 0;
let points = 0;

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

function crashHook(reached: CrashPoint): void {
  if (reached === DIE_AT_POINT && calls > keys && ++points === 1) die();
}

const ssc = await StreamingContext.getOrCreate(CHECKPOINT!, () => {
  const context = new StreamingContext({
    appName: 'large-batch',
    batchInterval: Milliseconds(500),
    defaultParallelism: 2,
    checkpoint: { manifestEveryRecords: 3, silenceThresholdMs: 1000, inlineBytesMax: 100_000 },
    environment: { crashHook },
  });
  context
    .sourceStream(topicOf(Number(START_MS)).source(), { uid: 'rows' })
    .mapWithState(
      StateSpec.function((_key: string, value: number | undefined, state: State<{ sum: number; rows: number }>) => {
        if (++calls === Number(DIE_AT_CALL)) die();
        const { sum, rows } = state.getOption() ?? { sum: 0, rows: 0 };
        state.update({ sum: sum + value!, rows: rows + 1 });
        return rows + 1;
      }),
      { uid: 'sums' },
    )
    .count()
    .print();
  return context;
});
const endMs = Number(START_MS) + rounds * roundMs;
ssc.addStreamingListener({
  onBatchCompleted: ({ batchTimeMs }) => {
    if (batchTimeMs >= endMs) void ssc.stop();
  },
});
await ssc.start();
await ssc.awaitTermination();
