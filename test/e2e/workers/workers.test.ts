import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, test } from 'vitest';
import { formatLoopBlocked, type LoopBlockedInfo } from '../../../src/base/loop-blocked.ts';
import { StreamingContext, Time } from '../../../src/index.ts';
import { ManualClock, MemoryStore, SeededRandom } from '../../../src/testing.ts';
import { shareCompiledCode } from '../../support/compile-cache.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import { accumulators, buildProgram, moduleOf, type ProgramOptions, sliced } from './programs.ts';
import type { Born } from './rows-source.ts';

const folder = mkdtempSync(join(tmpdir(), 'tidemark-workers-'));
shareCompiledCode();
let marks = 0;

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** By output: the partitions of every batch, by batch time. */
type Seen = Record<string, Map<number, unknown[][]>>;

interface Running {
  readonly seen: Seen;
  readonly warnings: string[];
  readonly ssc: StreamingContext;
  readonly driven: DrivenStream;
  readonly mark: string;
  readonly store: MemoryStore;
}

async function prepare(name: string, master: string, born: Born = 'workers', store?: MemoryStore): Promise<Running> {
  const clock = new ManualClock(0);
  const seen: Seen = {};
  const warnings: string[] = [];
  const mark = join(folder, `mark-${marks++}`);
  const options: ProgramOptions = {
    name,
    born,
    mark,
    observe: (output, stream) => {
      const batches = (seen[output] = new Map());
      stream.foreachRDD(async (rdd, time) => {
        batches.set(time.milliseconds, await rdd.collectPartitions());
      });
    },
  };
  const kept = store ?? new MemoryStore({ clock });
  const ssc = await StreamingContext.getOrCreate(kept, () =>
    buildProgram({
      ...options,
      context: {
        master,
        module: moduleOf(options),
        environment: { clock, random: new SeededRandom(1), warn: (text) => warnings.push(text) },
      },
    }),
  );
  return { seen, warnings, ssc, driven: new DrivenStream(ssc, clock, 1000), mark, store: kept };
}

async function run(name: string, master: string, born: Born = 'workers', batches = 4): Promise<Running> {
  const running = await prepare(name, master, born);
  await running.ssc.start();
  await running.driven.runTo(batches * 1000);
  await running.driven.stop();
  return running;
}

async function failureOf(
  work: Promise<unknown>,
): Promise<Error & { readonly code?: string; readonly context?: object }> {
  return work.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error) => error,
  );
}

test('all programs give on worker threads what they give in one thread', async () => {
  const runs = [];
  for (const [master, born] of [
    ['local', 'driver'],
    ['local[2]', 'workers'],
    ['local[3]', 'driver'],
  ] as const) {
    const { seen, warnings } = await run('all', master, born);
    const counts = Object.entries(accumulators).map(([name, { value }]) => [name, value]);
    runs.push({ seen, warnings, counts });
  }
  const [alone, ...others] = runs;
  expect(Object.keys(alone!.seen).length).toBeGreaterThan(15);
  for (const [output, batches] of Object.entries(alone!.seen)) {
    expect([...batches.values()].flat(2).length, output).toBeGreaterThan(5);
    for (const { seen } of others) expect(seen[output], output).toEqual(batches);
  }
  for (const { counts, warnings } of others) {
    expect(counts).toEqual(alone!.counts);
    expect(warnings).toEqual([]);
  }
});

test('a function that blocks a worker is named, in a warning and to listeners, with the number of the worker', async () => {
  const running = await prepare('blocks', 'local[2]');
  const events: LoopBlockedInfo[] = [];
  running.ssc.addStreamingListener({ onLoopBlocked: (info) => void events.push(info) });
  await running.ssc.start();
  await running.driven.runTo(4000);
  await running.driven.stop();
  const { warnings } = running;
  expect(warnings.length).toBeGreaterThan(0);
  for (const text of warnings)
    expect(text).toMatch(/^Worker [01]: A function of map \(#2\) held up the event loop for \d+ ms/);
  expect(events.map(formatLoopBlocked)).toEqual(warnings);
  for (const { worker, operators, batchId, heldMs } of events) {
    expect([0, 1]).toContain(worker);
    expect(operators).toMatchObject([{ operator: 'map', streamId: 2 }]);
    expect(batchId).toBeGreaterThan(0);
    expect(heldMs).toBeGreaterThanOrEqual(100);
  }
});

test('what a stateful operator takes in is partitioned in the workers', async () => {
  await run('placement', 'local');
  expect(accumulators.onWorkers!.value).toBe(0);
  const count = accumulators.onDriver!.value;
  expect(count).toBeGreaterThan(10);
  await run('placement', 'local[2]');
  expect(accumulators.onWorkers!.value).toBe(count);
  expect(accumulators.onDriver!.value).toBe(0);
});

test('files are read in the workers', async () => {
  const running = await prepare('files', 'local[2]');
  mkdirSync(`${running.mark}-files`);
  for (const name of ['a', 'b', 'c']) {
    const path = join(`${running.mark}-files`, name);
    writeFileSync(path, `one ${name}\ntwo ${name}\n`);
    utimesSync(path, 0.5, 0.5);
  }
  await running.ssc.start();
  await running.driven.runTo(1000);
  await running.driven.stop();
  const counts = new Map(running.seen['files.words']!.get(1000)!.flat() as [string, number][]);
  expect(counts).toEqual(
    new Map([
      ['one', 3],
      ['two', 3],
      ['a', 2],
      ['b', 2],
      ['c', 2],
    ]),
  );
  expect(accumulators.readBy!.value).toEqual([false, false, false]);
});

test('remembered batches are sliced as in one thread, also of a stream that no output needs', async () => {
  const found = [];
  for (const master of ['local', 'local[2]']) {
    const running = await prepare('remembers', master);
    await running.ssc.start();
    await running.driven.runTo(2000);
    const rdds = Object.values(sliced).flatMap((stream) => stream.slice(new Time(1000), new Time(2000)));
    found.push(await Promise.all(rdds.map((rdd) => rdd.collectPartitions())));
    await running.driven.stop();
  }
  expect(found[0]!.flat(2).length).toBeGreaterThan(20);
  expect(found[1]).toEqual(found[0]);
});

describe('what goes wrong in a worker', () => {
  test('a function that throws in every try fails the batch with its code, stage, partition, worker and cause', async () => {
    const alone = await failureOf(run('failsAlways', 'local'));
    const error = await failureOf(run('failsAlways', 'local[2]'));
    expect(alone).toMatchObject({ code: 'TASK_FAILED', cause: { name: 'RangeError', message: 'seventeen' } });
    expect(error).toMatchObject({
      code: 'TASK_FAILED',
      message: alone.message,
      cause: { name: 'RangeError', message: 'seventeen' },
    });
    expect((error.cause as Error).stack).toContain('programs.ts');
  });

  test('threads that end in the middle of a batch are replaced, and the batch goes on', async () => {
    const alone = await run('losesThreads', 'local');
    const { seen, warnings, mark } = await run('losesThreads', 'local[2]');
    expect(seen).toEqual(alone.seen);
    expect(existsSync(`${mark}-exit`)).toBe(true);
    expect(warnings).toHaveLength(2);
    expect(warnings.join()).toMatch(/exit code 3/);
    expect(warnings.join()).toMatch(/stray/);
  });

  test('threads that end again and again end the stream, and the next start runs the same batch', async () => {
    const running = await prepare('exitsAlways', 'local[2]');
    await running.ssc.start();
    const error = await failureOf(running.driven.runTo(1000));
    expect(error).toMatchObject({ code: 'WORKER_LOST' });
    expect(running.warnings.length).toBeLessThanOrEqual(5);
    const next = await prepare('exitsAlways', 'local', 'workers', running.store);
    await next.ssc.start();
    await next.driven.runTo(1000);
    await next.driven.stop();
    expect([...next.seen['exitsAlways.out']!.keys()]).toEqual([1000]);
  });

  test('a program that is another one in the workers is refused before anything is written', async () => {
    const running = await prepare('otherOperators', 'local[2]');
    const error = await failureOf(running.ssc.start());
    expect(error).toMatchObject({ code: 'WORKERS_DIVERGED' });
    expect(error.message).toContain('filter');
    expect((await running.store.list('')[Symbol.asyncIterator]().next()).done).toBe(true);
  });

  test('a batch that is another one in two workers fails', async () => {
    const running = await prepare('otherLineages', 'local[2]');
    await running.ssc.start();
    const error = await failureOf(running.driven.runTo(1000));
    expect(error).toMatchObject({ code: 'WORKERS_DIVERGED' });
    expect(error.message).toContain('mapPartitions(3)');
    expect(error.message).toContain('map(3)');
  });

  test('a stop ends tasks that would never end', async () => {
    const threads: Worker[] = [];
    const note = (thread: Worker): number => threads.push(thread);
    process.on('worker', note);
    const running = await prepare('never', 'local[2]');
    await running.ssc.start();
    process.off('worker', note);
    expect(threads.map(({ threadId }) => threadId > 0)).toEqual([true, true]);
    const run = failureOf(running.driven.runTo(1000));
    while (!existsSync(running.mark)) await new Promise((resolve) => setTimeout(resolve, 5));
    await running.ssc.stop();
    await run;
    // A thread that has ended has no number any more.
    expect(threads.map(({ threadId }) => threadId)).toEqual([-1, -1]);
  });
});
