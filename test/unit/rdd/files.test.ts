import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { equalPlain } from '../../../src/base/plain-data.ts';
import { type PartEncoder, writeParts } from '../../../src/rdd/part-files.ts';
import { dropMemoryStore, MemoryStore } from '../../../src/storage/memory-store.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { newContext, partitionCount } from './fixture.ts';

const url = 'memory:rdd-files/out';
const commitId = '0'.repeat(32);

afterEach(() => dropMemoryStore('rdd-files'));

async function objects(at = url): Promise<Map<string, string>> {
  const store = await openObjectStore(at);
  const found = new Map<string, string>();
  for await (const { name } of store.list('')) {
    const object = await store.get(name);
    found.set(name, object.status === 'found' ? Buffer.from(object.bytes).toString() : '?');
  }
  return found;
}

async function put(name: string, bytes: string | Uint8Array, at = url): Promise<void> {
  await (await openObjectStore(at)).putIfAbsent(name, Buffer.from(bytes as string), commitId);
}

const text = fc.string({ unit: 'binary' }).map((s) => s.toWellFormed().replace(/[\r\n]/g, ' '));

describe('text files', () => {
  it('are one object per partition, and come back line by line', async () => {
    const context = newContext();
    await context.parallelize(['a', 'b', 'c'], 2).saveAsTextFile(url);
    expect(await objects()).toEqual(
      new Map([
        ['_SUCCESS', ''],
        ['part-00000', 'a\n'],
        ['part-00001', 'b\nc\n'],
      ]),
    );
    const read = await context.textFile(url);
    expect(await read.collectPartitions()).toEqual([['a'], ['b', 'c']]);
    expect(await read.take(2)).toEqual(['a', 'b']);
    await fc.assert(
      fc.asyncProperty(fc.array(text, { maxLength: 20 }), partitionCount, async (lines, n) => {
        dropMemoryStore('rdd-files');
        const saved = context.parallelize(lines, n);
        await saved.saveAsTextFile(url);
        expect(await (await context.textFile(url)).collectPartitions()).toEqual(await saved.collectPartitions());
      }),
      { numRuns: 40 },
    );
  });

  it('hold every row as its text', async () => {
    const rows = [1, 10n, true, ['word', 2], [1, [2, null]], { a: [1n] }, new Date(0), 'x'];
    await newContext().parallelize<unknown>(rows, 1).saveAsTextFile(url);
    expect((await objects()).get('part-00000')!.split('\n')).toEqual([
      '1',
      '10',
      'true',
      '(word,2)',
      '(1,(2,null))',
      '{"a":["1"]}',
      '1970-01-01T00:00:00.000Z',
      'x',
      '',
    ]);
  });

  it('refuse null rows and leave nothing behind', async () => {
    for (const row of [null, undefined]) {
      const job = newContext().parallelize<unknown>(['a', row], 2).saveAsTextFile(url);
      await expect(job).rejects.toMatchObject({ code: 'VALUE_UNSUPPORTED', context: { partition: 1, row: 0 } });
      expect(await objects()).toEqual(new Map());
    }
  });

  it('refuse a place where something is, unless it may be overwritten', async () => {
    const context = newContext();
    await put('notes.txt', 'keep');
    const save = (rows: string[], n: number, overwrite?: boolean): Promise<void> =>
      context.parallelize(rows, n).saveAsTextFile(url, { overwrite });
    await expect(save(['a'], 1)).rejects.toMatchObject({
      code: 'OUTPUT_EXISTS',
      message: expect.stringContaining('notes.txt'),
    });
    await save(['a', 'b', 'c'], 3, true);
    await save(['d'], 1, true);
    expect([...(await objects())]).toEqual([
      ['_SUCCESS', ''],
      ['notes.txt', 'keep'],
      ['part-00000', 'd\n'],
    ]);
    await expect(save(['e'], 1)).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' });
    const misspelt = context.parallelize(['a']).saveAsTextFile('memory:rdd-files/b', { overwite: true } as never);
    await expect(misspelt).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });

  it('hold what the last try of a task gave', async () => {
    let tries = 0;
    const rdd = newContext(1, { taskAttemptsMax: 3 })
      .parallelize([1], 1)
      .map(() => {
        if (++tries < 3) throw new Error('flaky');
        return `try ${tries}`;
      });
    await rdd.saveAsTextFile(url);
    expect((await objects()).get('part-00000')).toBe('try 3\n');
  });

  it('of no partitions are a mark alone, and read as no rows', async () => {
    const context = newContext();
    await context.emptyRDD().saveAsTextFile(url);
    expect([...(await objects()).keys()]).toEqual(['_SUCCESS']);
    expect((await context.textFile(url)).numPartitions).toBe(0);
  });

  it('end their lines with a line feed, a carriage return or both', async () => {
    await put('a', 'one\r\ntwo\rthree\n\nfour');
    await put('b', '');
    expect(await (await newContext().textFile(url)).collectPartitions()).toEqual([
      ['one', 'two', 'three', '', 'four'],
      [],
    ]);
  });

  it('are read in pieces: characters and line ends may be cut anywhere', async () => {
    const piece = 4 * 1024 * 1024;
    const filler = 'x'.repeat(piece - 1);
    const cases: [string, string[]][] = [
      [`${filler}\r\nend`, [filler, 'end']],
      [`${filler}\rend\n`, [filler, 'end']],
      [`${filler}ü\n`, [`${filler}ü`]],
      [`${filler}\n`, [filler]],
      [`${filler}\r`, [filler]],
    ];
    for (const [content, lines] of cases) {
      dropMemoryStore('rdd-files');
      await put('a', content);
      // Compared first: a difference would print megabytes.
      expect(
        equalPlain(await (await newContext().textFile(url)).collect(), lines),
        JSON.stringify(content.slice(-6)),
      ).toBe(true);
    }
  });

  it('are read no further than the rows that are wanted', async () => {
    await put('a', 'line\n'.repeat(2_000_000));
    const rdd = await newContext().textFile(url);
    const get = vi.spyOn(MemoryStore.prototype, 'get');
    try {
      expect(await rdd.take(1)).toEqual(['line']);
      expect(get).toHaveBeenCalledTimes(1);
      expect(await rdd.count()).toBe(2_000_000);
      expect(get).toHaveBeenCalledTimes(4);
    } finally {
      get.mockRestore();
    }
  });

  it('are found by folder or by name, on disk too, without hidden and nested objects', async () => {
    const context = newContext();
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-rdd-'));
    try {
      writeFileSync(join(folder, 'b.txt'), 'b');
      writeFileSync(join(folder, 'a.txt'), 'a');
      writeFileSync(join(folder, '.hidden'), 'h');
      writeFileSync(join(folder, '_SUCCESS'), 's');
      expect(await (await context.textFile(folder)).collect()).toEqual(['a', 'b']);
      expect(await (await context.textFile(join(folder, 'b.txt'))).collect()).toEqual(['b']);
      await context.parallelize(['x'], 1).saveAsTextFile(join(folder, 'nested'));
      expect(await (await context.textFile(folder)).collect()).toEqual(['a', 'b']);
      expect(await (await context.textFile(`file://${folder}/nested/part-00000`)).collect()).toEqual(['x']);
      await expect(context.textFile(join(folder, 'c.txt'))).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
    } finally {
      rmSync(folder, { recursive: true });
    }
    await put('deep/one.txt', '1');
    expect(await (await context.textFile(`${url}/deep/one.txt`)).collect()).toEqual(['1']);
    await expect(context.textFile('memory:rdd-files/none')).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
    await expect(context.textFile('memory:rdd-nothing')).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
  });

  it('that vanish after they were listed are reported by name', async () => {
    await put('a.txt', '1');
    const rdd = await newContext().textFile(url);
    await (await openObjectStore(url)).delete(['a.txt']);
    await expect(rdd.count()).rejects.toMatchObject({
      code: 'SOURCE_NOT_FOUND',
      message: expect.stringContaining('a.txt'),
    });
  });
});

describe('parts on a store that fails', () => {
  const lines = (): PartEncoder<unknown> => {
    let text = '';
    return {
      push: (row) => {
        text += `${row}\n`;
      },
      finish: () => Buffer.from(text),
    };
  };

  it('are sent again until the outcome is known', async () => {
    const store = new FaultyStore(new MemoryStore({ name: 'rdd-files', prefix: 'out' }));
    store.inject({ type: 'put', name: /part-00000/ }, { kind: 'lose-answer' });
    store.inject({ type: 'put', name: /part-00001/, times: 2 }, { kind: 'lose-request' });
    await writeParts(newContext().parallelize(['a', 'b'], 2), { store, prefix: '' }, lines);
    expect([...(await objects())]).toEqual([
      ['_SUCCESS', ''],
      ['part-00000', 'a\n'],
      ['part-00001', 'b\n'],
    ]);
  });

  it('are replaced by the next try of the task, which may have other rows', async () => {
    const store = new FaultyStore(new MemoryStore({ name: 'rdd-files', prefix: 'out' }));
    // Written by the first try, which never learns of it.
    store.inject({ type: 'put', name: /part-00000/ }, { kind: 'lose-answer' });
    store.inject({ type: 'put', name: /part-00000/ }, { kind: 'fail' });
    let tries = 0;
    const rdd = newContext()
      .parallelize([1], 1)
      .map(() => `try ${++tries}`);
    await writeParts(rdd, { store, prefix: '' }, lines);
    expect((await objects()).get('part-00000')).toBe(`try ${tries}\n`);
    expect(tries).toBe(2);
  });

  it('of another writer are not touched', async () => {
    const store = new MemoryStore({ name: 'rdd-files', prefix: 'out' });
    const rdd = newContext().parallelize(['a', 'b'], 2);
    await put('part-00001', 'theirs');
    await expect(writeParts(rdd, { store, prefix: '' }, lines)).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' });
    expect((await objects()).get('part-00001')).toBe('theirs');
  });
});

describe('whole files', () => {
  it('are rows of URL and content, neighbours sharing partitions', async () => {
    for (const name of ['a', 'b', 'c']) await put(name, `${name}\n${name}`);
    const context = newContext();
    const texts = await context.wholeTextFiles(url, 2);
    expect(await texts.collectPartitions()).toEqual([
      [[`${url}/a`, 'a\na']],
      [
        [`${url}/b`, 'b\nb'],
        [`${url}/c`, 'c\nc'],
      ],
    ]);
    const bytes = await (await context.binaryFiles(url)).collectAsMap();
    expect(bytes.get(`${url}/b`)).toEqual(new Uint8Array(Buffer.from('b\nb')));
  });
});

describe('object files', () => {
  it('give equal rows back in the same partitions', async () => {
    const row = fc.oneof(
      fc.string(),
      fc.double(),
      fc.bigInt(),
      fc.constant(undefined),
      fc.constant(null),
      fc.date({ noInvalidDate: true }),
      fc.tuple(
        fc.string(),
        fc.dictionary(
          fc.string().filter((s) => s !== '__proto__'),
          fc.integer(),
        ),
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(row, { maxLength: 200 }), partitionCount, async (rows, n) => {
        dropMemoryStore('rdd-files');
        const context = newContext();
        const rdd = context.parallelize<unknown>(rows, n);
        await rdd.saveAsObjectFile(url);
        const read = await (await context.objectFile<unknown>(url)).collectPartitions();
        expect(equalPlain(read, await rdd.collectPartitions())).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('refuse rows that would not come back equal', async () => {
    const job = newContext()
      .parallelize<unknown>([{ f: () => 1 }])
      .saveAsObjectFile(url);
    await expect(job).rejects.toMatchObject({ code: 'VALUE_UNSUPPORTED' });
  });

  it('notice every cut and every flipped bit', async () => {
    const context = newContext();
    await context.parallelize(['some', 'rows', 'to be', 'kept'], 1).saveAsObjectFile(url);
    const found = await (await openObjectStore(url)).get('part-00000');
    const bytes = found.status === 'found' ? found.bytes : new Uint8Array();
    const read = async (damaged: Uint8Array): Promise<unknown> => {
      dropMemoryStore('rdd-files');
      await put('part-00000', damaged);
      return (await context.objectFile(url)).collect();
    };
    expect(await read(bytes)).toEqual(['some', 'rows', 'to be', 'kept']);
    for (let length = 0; length < bytes.length; length++) {
      await expect(read(bytes.slice(0, length)), `cut at ${length}`).rejects.toMatchObject({
        code: 'CHECKPOINT_CORRUPT',
      });
    }
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = bytes.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      await expect(read(damaged), `bit ${bit}`).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
    }
  });
});
