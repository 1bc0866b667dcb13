import { expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import type { BatchRecord, LogRecord, StoredBatch } from '../../../src/checkpoint/log-record.ts';
import { logName } from '../../../src/checkpoint/object-names.ts';
import { decodeRecord, encodeRecord } from '../../../src/checkpoint/record-codec.ts';
import type { WalkOptions, WalkProgress } from '../../../src/inspect/checkpoint-target.ts';
import { exportCheckpoint } from '../../../src/inspect/export-checkpoint.ts';
import { inspectCheckpoint } from '../../../src/inspect/inspect-checkpoint.ts';
import { planCleaning } from '../../../src/inspect/plan-cleaning.ts';
import { diffState, getState, listOperators, listState } from '../../../src/inspect/state-queries.ts';
import { verifyCheckpoint } from '../../../src/inspect/verify-checkpoint.ts';
import { forkStream } from '../../../src/operate/fork-stream.ts';
import { planRewind, rewindStream } from '../../../src/operate/rewind-stream.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { ByteRange, GetOutcome, ObjectStore } from '../../../src/storage/object-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import { errorOf } from '../engine/support.ts';
import { changed, defineProgram, everything, flipped, objectsOf, Run, recordsOnly, storeOf } from './support.ts';

test('a place without a stream is an error, not an empty report', async () => {
  const error = await errorOf(verifyCheckpoint(new MemoryStore({ clock: new ManualClock(0) })));
  expect(error.code).toBe('CHECKPOINT_MISSING');
});

test('a stream is whole after every batch of a driver that runs', async () => {
  const run = new Run();
  const driven = await run.start(everything);
  for (let t = 1; t <= 60; t++) {
    await driven.runTo(t * 1000);
    const report = await verifyCheckpoint(run.store);
    expect(report.findings, `after second ${t}`).toEqual([]);
  }
  await driven.stop();
  expect((await verifyCheckpoint(run.store)).floor).toBeGreaterThan(0);
});

test.each([false, true])(
  'a walk that a cleaning driver overtakes begins again; damage before it: %s',
  async (isDamaged) => {
    const run = new Run();
    const driven = await run.start(everything);
    await driven.runTo(30_000);
    let walks = 0;
    /** Every walk, after its listing, is overtaken by 15 batches; for three walks. */
    class BusyStore extends MemoryStore {
      override async get(name: string, range?: ByteRange): Promise<GetOutcome> {
        if (name === 'format') walks += 1;
        if (name.startsWith('man/') && driven.lastBatchTimeMs < 30_000 + 15_000 * Math.min(walks, 3)) {
          await driven.runTo(driven.lastBatchTimeMs + 15_000);
        }
        const outcome = await run.store.get(name, range);
        const isHurt = isDamaged && name === 'format' && outcome.status === 'found';
        return isHurt ? { ...outcome, bytes: outcome.bytes.subarray(1) } : outcome;
      }
      override list(prefix: string, after?: string): ReturnType<MemoryStore['list']> {
        return run.store.list(prefix, after);
      }
    }
    const { findings } = await verifyCheckpoint(new BusyStore({ name: 'overtaken', clock: run.clock }));
    await driven.stop();
    expect(walks).toBeGreaterThan(1);
    expect(findings.map(({ object }) => object)).toEqual(isDamaged ? ['format'] : []);
  },
);

test('a manifest that a record much later adopts is no finding, and damage between the two is told', async () => {
  const kept = new MemoryStore({ clock: { now: () => run.clock.now(), waitUntil: async () => {} } });
  const store = new FaultyStore(kept);
  const run: Run = new Run(store);
  const slow = Promise.withResolvers<void>();
  store.inject({ type: 'put', name: /^man\// }, { kind: 'delay', until: slow.promise });
  const driven = await run.start({ ...everything, silenceThresholdMs: 0, retainManifests: 1 });
  await driven.runTo(12_000);
  slow.resolve();
  const adoptions: [adopter: number, described: number][] = [];
  for (let t = 13; t <= 60; t++) {
    await driven.runTo(t * 1000);
    expect((await verifyCheckpoint(kept)).findings, `after second ${t}`).toEqual([]);
    const { records } = await inspectCheckpoint(kept);
    for (const { slot, adopts } of records) {
      const described = Number(adopts?.slice('man/'.length, 'man/'.length + 20));
      if (adopts !== undefined) adoptions.push([slot, described]);
    }
    if (t === 13) {
      const [[adopter, described]] = adoptions as [[number, number]];
      expect(adopter - described).toBeGreaterThan(5);
      const name = logName(described + 2);
      const objects = await objectsOf(kept);
      const hurt = changed(objects, name, flipped(objects.get(name)!, 150));
      const { findings } = await verifyCheckpoint(await storeOf(hurt));
      expect(findings.map(({ object }) => object)).toEqual([name]);
    }
  }
  await driven.stop();
  expect((await verifyCheckpoint(kept)).floor).toBeGreaterThan(adoptions[0]![0]);
});

test('a long run with drivers that die anywhere stays whole, and what they left is listed', async () => {
  const clock = new ManualClock(0);
  const kept = new MemoryStore({ clock });
  const random = new SeededRandom(44);
  const whys = new Set<string>();
  let deaths = 0;
  const expected = ['of a write that did not become record', 'not adopted by a record'];
  const isSeen = (start: string) => [...whys].some((why) => why.startsWith(start));
  // Some of them are rare: as many lives as it takes.
  for (let life = 1; life <= 40 || (life <= 160 && !expected.every(isSeen)); life++) {
    const store = new FaultyStore(kept);
    const died = new Error('crash');
    let stepsLeft = 5 + Math.floor(random.next() * 60);
    const crashHook = (_point: CrashPoint): void => {
      stepsLeft -= 1;
      if (stepsLeft > 0) return;
      store.crash({ signal: died });
      throw died;
    };
    try {
      const context = await StreamingContext.getOrCreate(store, () => {
        const ssc = new StreamingContext({
          appName: 'inspected',
          batchInterval: Seconds(1),
          defaultParallelism: 2,
          checkpoint: everything,
          environment: { clock, random: new SeededRandom(life), crashHook, print: () => {}, warn: () => {} },
        });
        defineProgram(ssc);
        return ssc;
      });
      const driven = new DrivenStream(context, clock, 1000);
      await context.start();
      await driven.runTo(300_000);
      await driven.stop();
    } catch (error) {
      if (error !== died && (error as Error).cause !== died) throw error;
      deaths += 1;
    }
    const report = await verifyCheckpoint(kept);
    expect(report.findings, `after life ${life}`).toEqual([]);
    for (const { why } of report.orphans) whys.add(why.replaceAll(/\d+/g, 'n'));
  }
  expect(deaths).toBeGreaterThanOrEqual(39);
  expect(expected.filter((start) => !isSeen(start))).toEqual([]);
});

/** The last batch changed, with checksums that fit: what no checksum can see. Nothing follows it. */
async function withLastBatch(run: Run, change: (record: BatchRecord) => LogRecord): Promise<MemoryStore> {
  const objects = await objectsOf(run.store);
  objects.delete('hint');
  for (const name of [...objects.keys()].filter((other) => other.startsWith('log/')).reverse()) {
    const { record } = decodeRecord(Number(name.slice(4)), objects.get(name)!);
    if (record.kind === 'batch') return storeOf(changed(objects, name, encodeRecord(change(record)).bytes));
    objects.delete(name);
  }
  throw new Error('There is no batch.');
}

/** Changes the last batch of a record. */
function lastOf(change: (batch: StoredBatch) => StoredBatch): (record: BatchRecord) => LogRecord {
  return (record) => ({ ...record, batches: [...record.batches.slice(0, -1), change(record.batches.at(-1)!)] });
}

test.each<readonly [string, (record: BatchRecord) => LogRecord, RegExp]>([
  [
    'a state that is not what was committed',
    lastOf((batch) => ({
      ...batch,
      deltas: batch.deltas.map((delta) =>
        delta.uid === 'sums' ? { ...delta, fingerprint: '8:0000000000000000' } : delta,
      ),
    })),
    /the state of 'sums' has fingerprint \d:\w+ where 8:0000000000000000 was committed/,
  ],
  [
    'a delta that was lost',
    lastOf((batch) => ({
      ...batch,
      deltas: batch.deltas.map((delta) =>
        delta.uid === 'sums'
          ? { ...delta, lengthBytes: 0, content: { kind: 'inline', bytes: new Uint8Array(0) } as const }
          : delta,
      ),
    })),
    /the state of 'sums' has fingerprint/,
  ],
  [
    'a batch id that was passed over',
    lastOf((batch) => ({ ...batch, batchId: batch.batchId + 1 })),
    /it holds batch \d+ where/,
  ],
  [
    'a fence nobody made',
    (record) => ({ ...record, links: { ...record.links, previousFence: 3 } }),
    /it names 3 as the newest fence/,
  ],
  [
    'a manifest of a slot that is not before its record',
    (record) => ({
      ...record,
      links: {
        ...record.links,
        manifest: { name: `man/${'0'.repeat(20)}-${'0'.repeat(32)}`, hash: '0', slot: record.slot },
      },
    }),
    /it adopts the manifest of slot \d+/,
  ],
  [
    'state bytes nobody can read',
    lastOf((batch) => ({
      ...batch,
      deltas: batch.deltas.map((delta) =>
        delta.uid === 'sums'
          ? { ...delta, lengthBytes: 3, content: { kind: 'inline', bytes: Uint8Array.of(0, 0, 9) } as const }
          : delta,
      ),
    })),
    /The stored bytes are damaged/,
  ],
])('%s is found though every checksum fits', async (_what, change, problem) => {
  const run = new Run();
  await run.to(9_000, recordsOnly);
  const { findings, tailSlot } = await verifyCheckpoint(await withLastBatch(run, change));
  expect(findings.map((finding) => finding.problem).join('\n')).toMatch(problem);
  expect(findings.some(({ object }) => object === logName(tailSlot))).toBe(true);
});

test.each<readonly [string, (store: ObjectStore, options: WalkOptions) => Promise<unknown>]>([
  ['verify', verifyCheckpoint],
  ['inspect', inspectCheckpoint],
  ['state ls', listOperators],
  ['state ls of an operator', (store, options) => listState(store, 'sums', options)],
  ['state get', (store, options) => getState(store, 'sums', 'every', options)],
  ['state diff', (store, options) => diffState(store, 30, 31, options)],
  ['gc', planCleaning],
  ['export', (store, options) => exportCheckpoint(store, new MemoryStore({ name: 'elsewhere' }), options)],
  ['fork', (store, options) => forkStream(store, new MemoryStore({ name: 'a-fork' }), options)],
  ['the plan of a rewind', (store, options) => planRewind(store, 30, options)],
  ['rewind', (store, options) => rewindStream(store, 30, { ...options, takeOver: true })],
])('the progress of %s reaches the end, and never goes beyond it', async (_what, walk) => {
  const run = new Run();
  await run.to(30_000, everything);
  const seen: WalkProgress[] = [];
  await walk(run.store, { onProgress: (progress) => seen.push(progress) });
  expect(seen.length).toBeGreaterThan(0);
  for (const { done, total } of seen) expect(done).toBeLessThanOrEqual(total);
  expect(seen.map(({ done }) => done)).toEqual(seen.map(({ done }) => done).toSorted((a, b) => a - b));
  expect(seen.at(-1)!.done).toBe(seen.at(-1)!.total);
});

test('what other tools left is listed, and is no finding', async () => {
  const run = new Run();
  await run.to(5_000, recordsOnly);
  const store = await storeOf(changed(await objectsOf(run.store), 'notes/readme.txt', Buffer.from('hello')));
  const { findings, orphans } = await verifyCheckpoint(store);
  expect(findings).toEqual([]);
  expect(orphans).toEqual([
    { name: 'notes/readme.txt', sizeBytes: 5, why: 'no object of a checkpoint: another tool left it' },
  ]);
});
