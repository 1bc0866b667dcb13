import { beforeAll, describe, expect, it } from 'vitest';
import { readOutbox } from '../../../src/inspect/read-outbox.ts';
import { type Death, type Place, SinkWorld } from './sink-world.ts';

const endMs = 14_000;
const variants = {
  'rows in the record': {},
  'rows in segments': { inlineBytesMax: 0, segmentBytesMax: 100 },
} as const;
/** Rows of the crash matrix in docs/crash-matrix.md, by where a driver dies. */
const matrix: readonly (readonly [string, readonly Place[]])[] = [
  ['row 4: sink staged, not committed', ['batch:outputs-run', 'batch:staged', 'commit:before-record']],
  ['row 8: record applied, process dead', ['commit:record-written']],
  ['row 13: after commit, before publish', ['batch:committed', 'batch:input-freed', 'publish:before']],
  ['row 14: mid-publish', ['upsert: before', 'upsert: inside', 'ledger: before', 'ledger: inside', 'publish:one-done']],
  [
    'row 15: after publish, before receipt',
    ['upsert: applied, answer lost', 'ledger: applied, answer lost', 'publish:all-done', 'batch:end'],
  ],
];
const recovery: readonly Place[] = [
  'recovery:fenced',
  'recovery:state-restored',
  'upsert: inside',
  'ledger: inside',
  'ledger: applied, answer lost',
  'publish:one-done',
  'recovery:republished',
];

interface Seen {
  readonly outputs: unknown;
  readonly feed: readonly unknown[];
}

/** `feed`: what the readers of the outbox got, one reader after each life of a driver, each from where the last one stood. */
async function run(
  settings: (typeof variants)[keyof typeof variants],
  deaths: readonly Death[],
): Promise<Seen & { world: SinkWorld }> {
  const world = new SinkWorld(endMs, {
    ...settings,
    manifestEveryRecords: 5,
    silenceThresholdMs: 1000,
    retainMs: 60_000,
  });
  const feed: unknown[] = [];
  let position: Parameters<typeof readOutbox>[2] = {};
  const read = async (): Promise<void> => {
    for await (const event of readOutbox(world.store, 'feed', { ...position, waitMs: 0, clock: world.clock })) {
      feed.push(event.kind === 'batch' ? [event.batchId, event.batchTimeMs, event.rows] : event);
      position = { from: structuredClone(event.position) };
    }
  };
  for (const death of deaths) {
    expect(await world.live(endMs, death), `${death.at} #${death.nth} is passed`).toBe(true);
    await read();
  }
  expect(await world.live(endMs)).toBe(false);
  await read();
  return { world, outputs: await world.outputs(), feed };
}

describe.each(Object.entries(variants))('%s', (_name, settings) => {
  let calm: Seen & { world: SinkWorld };
  beforeAll(async () => {
    calm = await run(settings, []);
  });

  it('the uninterrupted run writes every class, and passes every place', () => {
    expect(calm.feed.length).toBe(14);
    expect(calm.feed.filter((entry) => (entry as unknown[][])[2]!.length === 0)).toHaveLength(3);
    expect((calm.outputs as { ledger: unknown[] }).ledger.length).toBeGreaterThan(20);
    for (const [, places] of matrix) for (const place of places) expect(calm.world.passed.has(place), place).toBe(true);
  });

  describe.each(matrix)('%s', (row, places) => {
    it.each(places.flatMap((at) => [1, 3].map((nth) => ({ at, nth }))))('at $at, time $nth', async (death) => {
      const { outputs, feed } = await run(settings, [death]);
      expect(outputs).toEqual(calm.outputs);
      expect(feed).toEqual(calm.feed);
    });

    const again = row.startsWith('row 4') ? recovery.filter((place) => place.startsWith('recovery:')) : recovery;
    it.each(again)('and twice again during recovery, at %s', async (at) => {
      const { outputs, feed } = await run(settings, [
        { at: places[0]!, nth: 3 },
        { at, nth: 1 },
        { at, nth: 1 },
      ]);
      expect(outputs).toEqual(calm.outputs);
      expect(feed).toEqual(calm.feed);
    });
  });
});
