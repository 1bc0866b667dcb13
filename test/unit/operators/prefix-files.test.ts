import { describe, expect, test } from 'vitest';
import { TidemarkError } from '../../../src/index.ts';
import { openObjectStore } from '../../../src/testing.ts';
import { rddContext } from '../../conformance/support/check.ts';
import { runFor, simpleStream } from '../../conformance/support/simple-stream.ts';

let stores = 0;

async function objects(url: string): Promise<Record<string, string>> {
  const store = await openObjectStore(url);
  const found: Record<string, string> = {};
  for await (const { name } of store.list('')) {
    const object = await store.get(name);
    if (object.status === 'found') found[name] = Buffer.from(object.bytes).toString();
  }
  return found;
}

describe('saveAsTextFiles', () => {
  test.each([
    ['out', 'txt', ['out-1000.txt', 'out-3000.txt']],
    ['out', undefined, ['out-1000', 'out-3000']],
    ['', 'txt', ['1000.txt', '3000.txt']],
  ])("with prefix '%s' and suffix '%s' writes one file per batch with rows", async (prefix, suffix, names) => {
    const url = `memory:text-files-${++stores}`;
    const stream = await simpleStream([['a', 'b'], [], ['c']], (rows) =>
      rows.saveAsTextFiles(`${url}/${prefix}`, suffix),
    );
    await runFor(stream, 3);
    expect(await objects(url)).toEqual({ [names[0]!]: 'a\nb\n', [names[1]!]: 'c\n' });
  });

  test('a driver that dies between commit and publication leaves it to the next, which writes the file once', async () => {
    const url = `memory:text-files-${++stores}`;
    const died = new Error('crash');
    const define: Parameters<typeof simpleStream<string>>[1] = (rows) => rows.saveAsTextFiles(`${url}/out`, 'txt');
    const first = await simpleStream([['a'], ['b']], define, {
      environment: {
        crashHook: (point) => {
          if (point === 'publish:before' && first.clock.now() === 1000) throw died;
        },
      },
    });
    await first.ssc.start();
    await expect(first.driven.runTo(1000)).rejects.toBe(died);
    expect(await objects(url)).toEqual({});
    await runFor(await simpleStream([['a'], ['b']], define, { after: first }), 1);
    expect(await objects(url)).toEqual({ 'out-1000.txt': 'a\n', 'out-2000.txt': 'b\n' });
  });

  test.each(['', 'memory:name-without-a-place'])("refuses the prefix '%s'", async (prefix) => {
    await simpleStream<string>([], (rows) => {
      expect(() => rows.saveAsTextFiles(prefix)).toThrow(TidemarkError);
    });
  });
});

test('saveAsObjectFiles keeps every value of plain data; objectFile gives the rows back', async () => {
  const url = `memory:object-files-${++stores}`;
  const rows = [1, -0, 'text', { at: new Date(5), set: new Set([1n]) }, [undefined, null], new Map([['k', [1]]])];
  const stream = await simpleStream<unknown>([rows, []], (source) => source.saveAsObjectFiles(`${url}/dir/out`, 'bin'));
  await runFor(stream, 2);
  expect(Object.keys(await objects(url))).toEqual(['dir/out-1000.bin']);
  const read = await rddContext().objectFile(`${url}/dir/out-1000.bin`);
  expect(await read.collect()).toEqual(rows);
});
