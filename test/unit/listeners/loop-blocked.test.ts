import { describe, expect, test, vi } from 'vitest';
import { type DStream, type LoopBlockedInfo, Milliseconds, StateSpec, StreamingContext } from '../../../src/index.ts';

/** Holds up the loop for real. */
function spin(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

const block = <T>(row: T): T => {
  spin(120);
  return row;
};

let streams = 0;

interface Watched {
  readonly infos: LoopBlockedInfo[];
  readonly warnings: string[];
}

/** One row in every batch until somebody has been named, or so many batches have gone by. */
async function run(
  define: (rows: DStream<number>) => void,
  batches = 200,
  blockedLoopWarning = Milliseconds(100),
): Promise<Watched> {
  const infos: LoopBlockedInfo[] = [];
  const warnings: string[] = [];
  const ssc = new StreamingContext({
    appName: 'blocked',
    batchInterval: Milliseconds(20),
    defaultParallelism: 1,
    blockedLoopWarning,
    environment: { warn: (text) => warnings.push(text), print: () => {}, allowSeveral: true },
  });
  let completed = 0;
  ssc.addStreamingListener({
    onLoopBlocked: (info) => void infos.push(info),
    onBatchCompleted: () => void completed++,
  });
  ssc.checkpoint(`memory:blocked-${streams++}`);
  define(ssc.constantStream([1], { uid: 'ones' }));
  await ssc.start();
  // A list of operators says that the profile was too late for the first batch.
  const isNamed = (): boolean => infos.some(({ operators }) => operators.length === 1);
  await vi.waitFor(() => expect(isNamed() || completed >= batches).toBe(true), { timeout: 20_000, interval: 5 });
  await ssc.stop();
  return { infos, warnings };
}

const named = ({ infos }: Watched): LoopBlockedInfo | undefined =>
  infos.find(({ operators }) => operators.length === 1);

describe('a function that holds up the event loop', () => {
  test('is named in a warning and to listeners, although it is fused with another', async () => {
    const watched = await run((rows) =>
      rows
        .map((row) => row + 1)
        .map(block)
        .name('slow one')
        .print(),
    );
    expect(named(watched)).toEqual({
      operators: [{ operator: 'map', streamId: 2, uid: undefined, label: 'slow one' }],
      batchId: expect.any(Number),
      batchTimeMs: expect.any(Number),
      partition: 0,
      heldMs: expect.any(Number),
    });
    expect(named(watched)!.heldMs).toBeGreaterThanOrEqual(120);
    expect(watched.warnings.join('\n')).toMatch(
      /^A function of map \(#2, 'slow one'\) held up the event loop for \d+ ms in partition 0 of batch \d+/m,
    );
    // The list that came first, if it did, had the right one on it.
    for (const { operators } of watched.infos) expect(operators).toContainEqual(named(watched)!.operators[0]);
  });

  const places: Record<string, (rows: DStream<number>) => void> = {
    transform: (rows) => rows.transform(block).print(),
    foreachRDD: (rows) => rows.foreachRDD((rdd) => void block(rdd)),
    mapWithState: (rows) =>
      rows
        .map((row) => [row, row] as const)
        .mapWithState(
          StateSpec.function((key: number, value: number | undefined) => block(key + value!)),
          { uid: 'kept' },
        )
        .print(),
    mapAsync: (rows) => rows.mapAsync(block).print(),
  };
  for (const [operator, define] of Object.entries(places)) {
    test(`is named when it is that of ${operator}`, async () => {
      const watched = await run(define, 200);
      expect(watched.infos.map(({ operators }) => operators.map((one) => one.operator))).toEqual([[operator]]);
      if (operator === 'mapWithState') expect(watched.warnings[0]).toContain("uid 'kept'");
    });
  }

  test('is nobody with a blockedLoopWarning of 0', async () => {
    const watched = await run((rows) => rows.map(block).print(), 2, Milliseconds(0));
    expect(watched).toEqual({ infos: [], warnings: [] });
  });

  test('needs a duration', () => {
    const options = { appName: 'x', batchInterval: Milliseconds(20), blockedLoopWarning: 200 as never };
    expect(() => new StreamingContext(options)).toThrow('blockedLoopWarning is 200; give a duration');
  });
});
