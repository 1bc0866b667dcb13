import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, test } from 'vitest';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { StreamingContext } from '../../../src/index.ts';
import { ManualClock, MemoryStore, SeededRandom } from '../../../src/testing.ts';
import { shareCompiledCode } from '../../support/compile-cache.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import {
  buildStateProgram,
  calledOnDriver,
  calledOnWorkers,
  type StateProgram,
  stateModuleOf,
} from './state-programs.ts';

const folder = mkdtempSync(join(tmpdir(), 'tidemark-state-workers-'));
shareCompiledCode();
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let marks = 0;

/** By output: the partitions of every batch, by batch time. */
type Seen = Record<string, Map<number, unknown[][]>>;

interface Stream {
  readonly store: MemoryStore;
  readonly clock: LoopClock;
  readonly seen: Seen;
  readonly warnings: string[];
  readonly manifestEvery: number;
  readonly printed: string[];
}

function newStream(manifestEvery = 1000): Stream {
  const clock = new LoopClock(0);
  return { store: new MemoryStore({ clock }), clock, seen: {}, warnings: [], manifestEvery, printed: [] };
}

/** One life of a driver: batches up to this time. Resolves with the stored state in the end, or the error. */
async function live(
  { store, clock, seen, warnings, manifestEvery, printed }: Stream,
  master: string,
  toMs: number,
  fault: Partial<StateProgram> = {},
  crashHook: (point: string) => Promise<void> = async () => {},
): Promise<Error | undefined> {
  const program: StateProgram = {
    fault: 'none',
    faultMs: 0,
    partitions: 4,
    outputs: 'foreach',
    mark: join(folder, `mark-${marks++}`),
    ...fault,
    observe: (output, stream) => {
      stream.foreachRDD(async (rdd, time) => {
        seen[output] ??= new Map();
        seen[output].set(time.milliseconds, await rdd.collectPartitions());
      });
    },
  };
  const environment = {
    clock,
    random: new SeededRandom(1),
    warn: (text: string) => warnings.push(text),
    print: (text: string) => printed.push(text),
    crashHook,
  };
  const checkpoint = { manifestEveryRecords: manifestEvery };
  const build = (): StreamingContext =>
    buildStateProgram({
      ...program,
      context: { master, module: stateModuleOf(program), environment, checkpoint },
    });
  const ssc = program.outputs === 'windows' ? build() : await StreamingContext.getOrCreate(store, build);
  const driven = new DrivenStream(ssc, clock, 1000);
  await ssc.start();
  try {
    for (let timeMs = driven.lastBatchTimeMs; timeMs < toMs; timeMs = driven.lastBatchTimeMs) {
      await driven.runTo(timeMs + 1000);
      await Promise.race([settled({ store, clock }, timeMs + 2000), ssc.awaitTermination()]);
    }
  } catch (error) {
    return error as Error;
  }
  await driven.stop();
  return undefined;
}

/** The batch loop waits for this time, and nothing is on its way: which record adopts a manifest must not depend on how fast. */
async function settled(
  { store: { operations }, clock }: Pick<Stream, 'store' | 'clock'>,
  nextMs: number,
): Promise<void> {
  while (clock.waitedForMs < nextMs) await setImmediate();
  let count = operations.total();
  for (let quiet = 0; quiet < 20; quiet++) {
    await setImmediate();
    if (operations.total() !== count) quiet = 0;
    count = operations.total();
  }
}

class LoopClock extends ManualClock {
  waitedForMs = 0;

  override waitUntil(timeMs: number, signal?: AbortSignal): Promise<void> {
    this.waitedForMs = Math.max(this.waitedForMs, timeMs);
    return super.waitUntil(timeMs, signal);
  }
}

/** All that a checkpoint holds of the state: what must be applied, in order, and fingerprints. */
async function stored({ store }: Stream): Promise<Record<string, unknown>> {
  const checkpoint = (await readCheckpoint(store))!;
  const state: Record<string, unknown> = { fingerprints: checkpoint.status.fingerprints };
  for (const [uid, { extents, deltas }] of checkpoint.storedState()) {
    state[uid] = {
      extents: await Promise.all(
        extents.map(async ({ read, isBase, buckets, summary }) => [isBase, buckets, summary, hex(await read())]),
      ),
      deltas: await Promise.all(deltas.map(async ({ read }) => hex(await read()))),
    };
  }
  return state;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function expectSame(found: Stream, expected: Stream): void {
  expect(Object.keys(found.seen).sort()).toEqual(Object.keys(expected.seen).sort());
  for (const [output, batches] of Object.entries(expected.seen)) expect(found.seen[output], output).toEqual(batches);
}

describe.each([
  ['in the log alone', 1000],
  ['in manifests', 3],
])('state in worker threads, %s', (_where, manifestEvery) => {
  test('is stored byte for byte as by one thread, and read by the same operators', async () => {
    const alone = newStream(manifestEvery);
    await live(alone, 'local', 8000);
    expect(calledOnWorkers.value).toBe(0);
    const calls = calledOnDriver.value;
    expect(calls).toBeGreaterThan(20);
    const bytes = await stored(alone);
    expect(Object.keys(bytes).length).toBeGreaterThan(8);
    for (const batches of Object.values(alone.seen)) expect([...batches.values()].flat(2).length).toBeGreaterThan(0);
    for (const master of ['local[2]', 'local[3]']) {
      const found = newStream(manifestEvery);
      await live(found, master, 8000);
      expectSame(found, alone);
      expect(await stored(found), master).toEqual(bytes);
      expect(found.warnings).toEqual([]);
      expect([calledOnWorkers.value, calledOnDriver.value]).toEqual([calls, 0]);
    }
  }, 60_000);

  test('goes on from thread to threads to thread, also with other partitions', async () => {
    const lives = [
      [2000, 'local', 4],
      [4000, 'local[2]', 4],
      [6000, 'local[3]', 5],
      [7000, 'local[2]', 3],
      [9000, 'local', 4],
    ] as const;
    const [alone, moving] = [newStream(manifestEvery), newStream(manifestEvery)];
    for (const [toMs, master, partitions] of lives) {
      await live(alone, 'local', toMs, { partitions });
      await live(moving, master, toMs, { partitions });
      expect(await stored(moving), `${master} up to ${toMs}`).toEqual(await stored(alone));
    }
    expectSame(moving, alone);
  }, 60_000);
});

describe('what goes wrong with state in worker threads', () => {
  test.each(['exits in state', 'exits behind state', 'exits afterwards'] as const)(
    'a thread that %s is replaced, and the next one is given the committed state',
    async (fault) => {
      const [alone, found] = [newStream(2), newStream(2)];
      await live(alone, 'local', 7000);
      const mark = join(folder, `exit-${marks++}`);
      expect(await live(found, 'local[2]', 7000, { fault, faultMs: 5000, mark })).toBeUndefined();
      expect(existsSync(mark)).toBe(true);
      expectSame(found, alone);
      expect((await stored(found)).fingerprints).toEqual((await stored(alone)).fingerprints);
      expect(found.warnings.length).toBeLessThanOrEqual(1);
    },
    60_000,
  );

  test.each([
    ['foreach', ['batch:begin', 'batch:state-advanced', 'batch:outputs-run', 'commit:manifest-written']],
    ['print', ['batch:planned', 'batch:staged', 'batch:sealed', 'commit:before-record']],
    ['print', ['commit:record-written', 'batch:committed', 'batch:input-freed', 'batch:end']],
  ] as const)(
    'with %s, threads that are lost at %j cost nothing',
    async (outputs, points) => {
      const [alone, found] = [newStream(3), newStream(3)];
      const toMs = 2000 + 2000 * points.length;
      await live(alone, 'local', toMs, { outputs });
      const threads: Worker[] = [];
      const note = (thread: Worker): number => threads.push(thread);
      process.on('worker', note);
      const left = [...points];
      const error = await live(found, 'local[2]', toMs, { outputs }, async (point) => {
        if (point !== left[0] || found.clock.now() < toMs - 2000 * left.length) return;
        left.shift();
        await threads.at(-1)!.terminate();
      });
      process.off('worker', note);
      expect(error).toBeUndefined();
      expect(left).toEqual([]);
      expect(threads).toHaveLength(2 + 2 * points.length);
      expect((await stored(found)).fingerprints).toEqual((await stored(alone)).fingerprints);
      expectSame(found, alone);
      expect(found.printed).toEqual(alone.printed);
    },
    60_000,
  );

  test('without a checkpoint its loss ends the context, which says so', async () => {
    const error = await live(newStream(), 'local[2]', 6000, {
      outputs: 'windows',
      fault: 'exits behind state',
      faultMs: 4000,
    });
    expect(error).toMatchObject({ code: 'WORKER_LOST' });
    expect(error!.message).toMatch(/no checkpoint.*getOrCreate/);
  }, 60_000);

  test('a function that throws fails the batch as in one thread, and the state stays as it was', async () => {
    const [alone, found] = [newStream(), newStream()];
    const fault = { fault: 'throws', faultMs: 4000 } as const;
    const expected = await live(alone, 'local', 5000, fault);
    const error = await live(found, 'local[2]', 5000, fault);
    expect(expected).toMatchObject({ code: 'TASK_FAILED', cause: { name: 'RangeError', message: 'not today' } });
    expect(error).toMatchObject({
      code: 'TASK_FAILED',
      message: expected!.message,
      cause: { name: 'RangeError', message: 'not today' },
    });
    expect(await stored(found)).toEqual(await stored(alone));
    await live(found, 'local[3]', 6000);
    await live(alone, 'local', 6000);
    expect(await stored(found)).toEqual(await stored(alone));
    expectSame(found, alone);
  }, 60_000);

  test('a function that throws once is tried again, and leaves no trace', async () => {
    const [alone, found] = [newStream(), newStream()];
    await live(alone, 'local', 4000);
    const calls = calledOnDriver.value;
    await live(found, 'local[2]', 4000, { fault: 'throws once', faultMs: 3000 });
    expect(calledOnWorkers.value).toBe(calls);
    expect(await stored(found)).toEqual(await stored(alone));
    expectSame(found, alone);
  }, 60_000);
});
