import { mkdir, mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import {
  binaryRecordsSource,
  type FileReadOptions,
  type FileStreamOptions,
  fileSource,
  textFileSource,
} from '../../../src/sources/files/file-source.ts';
import type { Source, SourcePlan } from '../../../src/sources/source.ts';
import { dropMemoryStore, MemoryStore } from '../../../src/storage/memory-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import { rowsOf, startWith } from '../receivers/support.ts';

/** A place where files appear with a given content and time. */
interface Place {
  readonly url: string;
  write(name: string, content: string | Uint8Array, modifiedMs: number): Promise<void>;
  remove(name: string): Promise<void>;
  close(): Promise<void>;
}

async function localPlace(): Promise<Place> {
  const url = await mkdtemp(join(tmpdir(), 'tidemark-files-'));
  return {
    url,
    async write(name, content, modifiedMs) {
      await mkdir(join(url, name, '..'), { recursive: true });
      const hidden = join(url, `${name}.partial`);
      await writeFile(hidden, content);
      await utimes(hidden, modifiedMs / 1000, modifiedMs / 1000);
      await rename(hidden, join(url, name));
    },
    remove: (name) => rm(join(url, name)),
    close: () => rm(url, { recursive: true, force: true }),
  };
}

let spaces = 0;

async function memoryPlace(): Promise<Place> {
  const space = `files-${++spaces}`;
  return {
    url: `memory:${space}/in`,
    async write(name, content, modifiedMs) {
      const store = new MemoryStore({ name: space, prefix: 'in', clock: new ManualClock(modifiedMs) });
      await store.delete([name]);
      await store.putIfAbsent(name, Buffer.from(content), new SeededRandom(++spaces).id());
    },
    async remove(name) {
      await new MemoryStore({ name: space, prefix: 'in' }).delete([name]);
    },
    close: async () => dropMemoryStore(space),
  };
}

describe.each([
  { kind: 'a local folder', create: localPlace },
  { kind: 'a store', create: memoryPlace },
])('files of $kind', ({ create }) => {
  let place: Place;
  let clock: ManualClock;
  let warnings: string[];

  beforeEach(async () => {
    place = await create();
    clock = new ManualClock(0);
    warnings = [];
  });
  afterEach(() => place.close());

  async function start<T>(source: Source<T>, position?: unknown): Promise<Source<T>> {
    await source.start(startWith({ clock, position }, { warnings }));
    return source;
  }

  /** Rows of the batch of `timeMs`. */
  async function batch<T>(source: Source<T>, timeMs: number): Promise<T[]> {
    clock.advanceTo(timeMs);
    return rowsOf(source, structuredClone(await source.plan(timeMs)));
  }

  const text = (options?: FileStreamOptions) => textFileSource(place.url, options);

  test('input.file-input-stream-newfilesonly-true: files from before the start are left out, new ones come each in their batch', async () => {
    await place.write('old', 'old\n', 10_000);
    clock.advanceTo(12_000);
    const source = await start(text());
    const seen: string[] = [];
    for (let n = 1; n <= 5; n++) {
      const timeMs = 12_000 + n * 2000;
      await place.write(`file-${n}`, `${n}\n`, timeMs);
      seen.push(...(await batch(source, timeMs)));
    }
    expect(seen).toEqual(['1', '2', '3', '4', '5']);
  });

  test('newFilesOnly: false takes the files of the remembered time too', async () => {
    await place.write('forgotten', 'forgotten', 40_000);
    await place.write('remembered', 'remembered', 40_001);
    clock.advanceTo(99_000);
    const source = await start(text({ newFilesOnly: false }));
    expect(await batch(source, 100_000)).toEqual(['remembered']);
  });

  test('a file that appears later than its time is still found, and none is read twice', async () => {
    const source = await start(text());
    await place.write('a', 'a', 500);
    expect(await batch(source, 1000)).toEqual(['a']);
    await place.write('late', 'late', 700);
    expect(await batch(source, 30_000)).toEqual(['late']);
    expect(await batch(source, 31_000)).toEqual([]);
    await place.write('too-late', 'too late', 800);
    expect(await batch(source, 61_000)).toEqual([]);
  });

  test('a file of a later time waits for its batch', async () => {
    const source = await start(text());
    await place.write('later', 'later', 1500);
    expect(await batch(source, 1000)).toEqual([]);
    expect(await batch(source, 2000)).toEqual(['later']);
  });

  test('only files directly in the folder are read, and none that begins with a dot', async () => {
    const source = await start(text());
    await place.write('.hidden', 'hidden', 500);
    await place.write('below/file', 'below', 500);
    await place.write('seen', 'seen', 500);
    expect(await batch(source, 1000)).toEqual(['seen']);
  });

  test('a filter of the program decides instead', async () => {
    const source = await start(text({ filter: ({ name, sizeBytes }) => name.endsWith('.csv') && sizeBytes > 1 }));
    await place.write('a.csv', 'a,b', 500);
    await place.write('b.csv', '', 500);
    await place.write('c.txt', 'no', 500);
    expect(await batch(source, 1000)).toEqual(['a,b']);
  });

  test('a pattern chooses folders', async () => {
    const source = await start(textFileSource(`${place.url}/day-{1,2}/*`));
    await place.write('day-1/a/file', '1', 500);
    await place.write('day-2/b/file', '2', 500);
    await place.write('day-3/a/file', '3', 500);
    await place.write('day-1/file', '4', 500);
    await place.write('day-1/a/b/file', '5', 500);
    expect(await batch(source, 1000)).toEqual(['1', '2']);
  });

  test('lines end with any kind of line end, and every file is a partition', async () => {
    const source = await start(text());
    await place.write('a', 'one\ntwo\r\n\nüber🌊', 500);
    await place.write('b', '', 500);
    await place.write('c', '\ufeffmarked\n', 500);
    clock.advanceTo(1000);
    const plan = await source.plan(1000);
    expect(plan).toMatchObject({ partitions: { length: 3 }, records: 0 });
    expect(await rowsOf(source, plan)).toEqual(['one', 'two', '', 'über🌊', 'marked']);
  });

  test('a file larger than a chunk comes whole', async () => {
    const source = await start(text());
    const lines = Array.from({ length: 150_000 }, (_, n) => `line ${n} ${'ü'.repeat(40)}`);
    await place.write('big', lines.join('\n'), 500);
    expect(await batch(source, 1000)).toEqual(lines);
  });

  test('fileStream gives a program all bytes of a file, and what it makes of them are the rows', async () => {
    const read: FileReadOptions<string>['read'] = async (bytes, { name, sizeBytes }) =>
      JSON.parse(Buffer.from(bytes).toString()).map((value: number) => `${name}/${sizeBytes}/${value}`);
    const source = await start(fileSource(place.url, { read }));
    await place.write('a.json', '[1,2]', 500);
    expect(await batch(source, 1000)).toEqual(['a.json/5/1', 'a.json/5/2']);
  });

  test('fileStream without a reading function gives lines', async () => {
    const source = await start(fileSource(place.url));
    await place.write('a', 'x\ny', 500);
    expect(await batch(source, 1000)).toEqual(['x', 'y']);
  });

  test('binary records have the length they were promised, or the file is named', async () => {
    const source = await start(binaryRecordsSource(place.url, 3));
    await place.write('a', new Uint8Array([1, 2, 3, 4, 5, 6]), 500);
    expect((await batch(source, 1000)).map((record) => [...record])).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    await place.write('cut', new Uint8Array(4), 1500);
    await expect(batch(source, 2000)).rejects.toMatchObject({ code: 'INPUT_MALFORMED', message: /\/cut has 4 bytes/ });
  });

  test('a file that is gone is DATA_LOSS with its name, or a warning', async () => {
    for (const onDataLoss of ['fail', 'skip'] as const) {
      const source = await start(text({ onDataLoss }));
      await place.write('gone', 'gone', clock.now() + 500);
      const timeMs = clock.now() + 1000;
      clock.advanceTo(timeMs);
      const plan = await source.plan(timeMs);
      await place.remove('gone');
      if (onDataLoss === 'skip') expect(await rowsOf(source, plan)).toEqual([]);
      else
        await expect(rowsOf(source, plan)).rejects.toMatchObject({ code: 'DATA_LOSS', message: /\/gone was chosen/ });
    }
    expect(warnings).toMatchObject([/gone was chosen for a batch and is gone.*left out/]);
  });

  test.each(['a', '', 'abcdef'])('a file of 3 bytes that holds "%s" now is refused', async (now) => {
    const source = await start(text());
    await place.write('growing', 'abc', 500);
    clock.advanceTo(1000);
    const plan = await source.plan(1000);
    await place.write('growing', now, 600);
    await expect(rowsOf(source, plan)).rejects.toMatchObject({
      code: 'INPUT_CHANGED',
      message: /growing had 3 bytes when it was chosen/,
    });
  });

  test('after a restart recorded files are read exactly, and files of the downtime fall to their missed batches', async () => {
    const first = await start(text());
    await place.write('a', 'a', 500);
    const before = structuredClone(first.position());
    clock.advanceTo(1000);
    const recorded = structuredClone(await first.plan(1000));
    await place.write('late', 'late', 900);
    await place.write('b', 'b', 1500);
    await place.write('c', 'c', 2500);
    clock.advanceTo(10_000);
    const second = await start(text(), before);
    second.adopt(recorded);
    expect(await rowsOf(second, recorded)).toEqual(['a']);
    expect(await batch(second, 2000)).toEqual(['b', 'late']);
    expect(await batch(second, 3000)).toEqual(['c']);
  });

  test('batch times that are passed over lose no file', async () => {
    const first = await start(text());
    await batch(first, 1000);
    const position = structuredClone(first.position());
    await place.write('a', 'a', 2000);
    clock.advanceTo(1_000_000);
    const second = await start(text(), position);
    expect(await batch(second, 1_000_000)).toEqual(['a']);
    expect(await batch(second, 1_001_000)).toEqual([]);
  });

  test('more files than a batch may take are spread over the next ones, oldest first, each once', async () => {
    const source = await start(text({ filesPerBatchMax: 2 }));
    for (const [name, at] of [
      ['e', 400],
      ['a', 500],
      ['b', 500],
      ['c', 500],
      ['d', 600],
    ] as const) {
      await place.write(name, name, at);
    }
    expect(await batch(source, 1000)).toEqual(['a', 'e']);
    expect(await batch(source, 100_000)).toEqual(['b', 'c']);
    expect(await batch(source, 200_000)).toEqual(['d']);
    expect(await batch(source, 300_000)).toEqual([]);
  });

  test('what is remembered stays bounded', async () => {
    const source = await start(text({ minRememberDuration: Seconds(5) }));
    for (let n = 1; n <= 20; n++) {
      await place.write(`file-${n}`, '', n * 1000 - 500);
      await batch(source, n * 1000);
    }
    expect((source.position() as { recent: unknown[] }).recent.length).toBeLessThanOrEqual(6);
  });
});

describe('a local folder', () => {
  test('that is not there gives empty batches and one warning, and its files once it is', async () => {
    const place = await localPlace();
    const warnings: string[] = [];
    const clock = new ManualClock(0);
    const source = textFileSource(`${place.url}/later`);
    await source.start(startWith({ clock }, { warnings }));
    const plan = async (timeMs: number): Promise<SourcePlan> => {
      clock.advanceTo(timeMs);
      return source.plan(timeMs);
    };
    expect(await rowsOf(source, await plan(1000))).toEqual([]);
    expect((await plan(2000)).partitions).toEqual([]);
    expect(warnings).toMatchObject([/later cannot be listed/]);
    // Longer away than the remembered time.
    await place.write('later/file', 'found', 2500);
    expect(await rowsOf(source, await plan(90_000))).toEqual(['found']);
    expect(warnings).toHaveLength(2);
    await place.close();
  });

  test('input.modified-files-are-correctly-detected: a folder renamed into the pattern shows what is new in it', async () => {
    const place = await localPlace();
    const clock = new ManualClock(0);
    const source = textFileSource(`${place.url}/in-*`);
    await source.start(startWith({ clock }));
    await place.write('away/fresh', 'renamed', 99_500);
    await place.write('away/old', 'old', 20_000);
    for (let timeMs = 1000; timeMs <= 99_000; timeMs += 1000) {
      clock.advanceTo(timeMs);
      await source.plan(timeMs);
    }
    await rename(join(place.url, 'away'), join(place.url, 'in-1'));
    clock.advanceTo(100_000);
    expect(await rowsOf(source, await source.plan(100_000))).toEqual(['renamed']);
    await place.close();
  });

  test('ckpt.recovery-with-file-input-stream: every output once, as if nothing had happened', async () => {
    const place = await localPlace();
    const clock = new ManualClock(0);
    const store = new MemoryStore({ clock });
    const sums: number[] = [];
    const died = new Error('killed');
    const life = async (dieInBatch: number | undefined) => {
      const context = await StreamingContext.getOrCreate(store, () => {
        const ssc = new StreamingContext({
          appName: 'files',
          batchInterval: Seconds(2),
          environment: {
            clock,
            random: new SeededRandom(1),
            warn: () => {},
            crashHook: (point) => {
              if (point === 'batch:state-advanced' && clock.now() === dieInBatch) throw died;
            },
          },
        });
        ssc
          .sourceStream(textFileSource(place.url))
          .map((line): [string, number] => ['sum', Number(line)])
          .updateStateByKey((values, sum: number | undefined) => values.reduce((a, b) => a + b, sum ?? 0))
          .foreachRDD(async (rdd) => {
            sums.push(...(await rdd.collect()).map(([, sum]) => sum));
          });
        return ssc;
      });
      const driven = new DrivenStream(context, clock, 2000);
      await context.start();
      return driven;
    };
    const write = (n: number, modifiedMs: number) => place.write(String(n), `${n}\n`, modifiedMs);
    const first = await life(6000);
    await write(1, 1000);
    await first.runTo(2000);
    await write(2, 3000);
    await first.runTo(4000);
    await write(3, 5000);
    await expect(first.runTo(6000)).rejects.toBe(died);
    expect([...new Set(sums)]).toEqual([1, 3]);
    for (const [n, at] of [
      [4, 9000],
      [5, 11_000],
      [6, 13_000],
    ] as const)
      await write(n, at);
    clock.advanceTo(15_000);
    const second = await life(undefined);
    await second.runTo(14_000);
    for (const [n, at] of [
      [7, 15_000],
      [8, 17_000],
      [9, 19_000],
    ] as const)
      await write(n, at);
    await second.runTo(20_000);
    await second.stop();
    expect([...new Set(sums)]).toEqual([1, 3, 6, 10, 15, 21, 28, 36, 45]);
    await place.close();
  });

  test('that is lost between plan and read ends the batch with the name of the file', async () => {
    const place = await localPlace();
    const clock = new ManualClock(0);
    const ssc = new StreamingContext({
      appName: 'files',
      batchInterval: Seconds(1),
      startReport: false,
      environment: { clock, random: new SeededRandom(1) },
    });
    ssc.sourceStream(textFileSource(place.url)).foreachRDD(async (rdd) => {
      await place.remove('gone').catch(() => {});
      await rdd.collect();
    });
    const driven = new DrivenStream(ssc, clock, 1000);
    await ssc.start();
    await place.write('gone', 'x', 500);
    const error = await driven.runTo(1000).then(
      () => undefined,
      (thrown) => thrown,
    );
    expect(`${error.code} ${error.cause?.code}`).toContain('DATA_LOSS');
    expect(`${error.message} ${error.cause?.message}`).toContain('/gone');
    await place.close();
    await ssc.awaitTermination().catch(() => {});
  });
});

test('options are checked', () => {
  expect(() => textFileSource('x', { onDataLoss: 'ignore' as never })).toThrow(/onDataLoss is 'ignore'/);
  expect(() => textFileSource('x', { minRememberDuration: 60 as never })).toThrow(/minRememberDuration is 60/);
  expect(() => textFileSource('ftp://x')).toThrow(expect.objectContaining({ code: 'URL_INVALID' }));
  expect(() => binaryRecordsSource('x', 0)).toThrow(/recordLength is 0/);
  expect(() => fileSource('x', { glob: '*' } as never)).toThrow(/no option 'glob'/);
});
