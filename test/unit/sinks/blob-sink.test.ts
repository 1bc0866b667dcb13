import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { readBlobOutput, readBlobOutputBatches } from '../../../src/sinks/blob-output.ts';
import { type BlobSinkOptions, blobSink } from '../../../src/sinks/blob-sink.ts';
import type { StagedSink } from '../../../src/sinks/sink.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { FaultyStore, type StoreFault, type StoreFaultPattern } from '../../../src/testing/faulty-store.ts';
import { collect, id, text } from '../../support/object-store-suite.ts';

const uid = 'averages-out';
let places = 0;

/** A place for output with drivers that come and go. */
class Place {
  readonly name = `sink-${places++}`;
  readonly url = `memory:${this.name}`;
  readonly store = new MemoryStore({ name: this.name });
  readonly stores: FaultyStore[] = [];

  async driver(epoch: number, options: Partial<BlobSinkOptions> = {}): Promise<StagedSink<unknown>> {
    const sink = blobSink({
      url: this.url,
      random: new SeededRandom(epoch),
      openStore: async () => {
        const store = new FaultyStore(new MemoryStore({ name: this.name }));
        this.stores.push(store);
        return store;
      },
      ...options,
    });
    await sink.open?.({ streamId: 'stream-1', uid, epoch });
    return sink;
  }

  inject(pattern: StoreFaultPattern, fault: StoreFault): void {
    this.stores.at(-1)!.inject(pattern, fault);
  }

  async names(prefix = ''): Promise<string[]> {
    return (await collect(this.store.list(prefix))).map(({ name }) => name);
  }

  async rows(): Promise<unknown[]> {
    const rows: unknown[] = [];
    for await (const row of readBlobOutput(this.url, uid)) rows.push(row);
    return rows;
  }
}

const batch = (batchId: number, generation = 0) => ({ batchId, batchTimeMs: 1_000 * batchId, generation });
const large = { inlineBytesMax: 0 };

describe('blobSink', () => {
  it('shows a batch when it is published, not when it is staged', async () => {
    const place = new Place();
    const sink = await place.driver(1);
    const handle = await sink.stage(batch(7), [[{ a: 1 }, 'two'], [], [[3, null]]]);
    expect(await place.names()).toEqual([]);
    await sink.publish(handle);
    expect(await place.names()).toEqual(['averages-out/000000000007000-0000.jsonl']);
    expect(await place.store.get('averages-out/000000000007000-0000.jsonl')).toMatchObject({
      bytes: text('{"a":1}\n"two"\n[3,null]\n'),
    });
    expect(await place.rows()).toEqual([{ a: 1 }, 'two', [3, null]]);
  });

  it('needs one write for a small batch: its bytes ride in the checkpoint until it is published', async () => {
    const place = new Place();
    const sink = await place.driver(1);
    const handle = await sink.stage(batch(1), [['row']]);
    expect(place.stores[0]!.operations.total()).toBe(0);
    await sink.publish(handle);
    const { put } = place.stores[0]!.operations.snapshot();
    expect(put.requests).toBe(1);
    expect(place.stores[0]!.operations.total()).toBe(1);
  });

  it('stages a large batch under a name of its own and does not read it back', async () => {
    const place = new Place();
    const sink = await place.driver(3, large);
    const handle = await sink.stage(batch(1), [['row']]);
    const [staged] = await place.names();
    expect(staged).toMatch(/^_staging\/stream-1\/averages-out\/00000000000000000003-1-[0-9a-f]{32}$/);
    expect(await place.rows()).toEqual([]);
    await sink.publish(handle);
    expect(await place.names()).toEqual(['averages-out/000000000001000-0000.jsonl']);
    const { get, put, delete: removed } = place.stores[0]!.operations.snapshot();
    expect([put.requests, get.requests, removed.requests]).toEqual([2, 0, 1]);
  });

  it('writes nothing for a batch without rows', async () => {
    const place = new Place();
    const sink = await place.driver(1, large);
    expect(await sink.stage(batch(1), [[], []])).toBeUndefined();
    expect(await sink.stage(batch(2), [])).toBeUndefined();
    expect(await place.names()).toEqual([]);
  });

  it.each([
    ['inline', {}],
    ['staged', large],
  ])('publishes again without a trace: %s', async (_name, options) => {
    const place = new Place();
    const first = await place.driver(1, options);
    const handle = structuredClone(await first.stage(batch(1), [['row']]));
    await first.publish(handle);
    await first.publish(handle);
    const second = await place.driver(2, options);
    await second.publish(handle);
    await second.sweep?.();
    expect(await place.names()).toEqual(['averages-out/000000000001000-0000.jsonl']);
    expect(await place.rows()).toEqual(['row']);
  });

  describe('a driver that dies', () => {
    const steps: readonly (readonly [string, StoreFaultPattern, StoreFault])[] = [
      ['before the output is created', { type: 'put', name: /^averages/ }, { kind: 'fail' }],
      ['after the output is created', { type: 'put', name: /^averages/ }, { kind: 'lose-answer' }],
      ['before the staged object is removed', { type: 'delete' }, { kind: 'fail' }],
      ['after the staged object is removed', { type: 'delete' }, { kind: 'lose-answer' }],
    ];

    it.each(steps)('%s leaves what the next one completes', async (_name, pattern, fault) => {
      const place = new Place();
      const first = await place.driver(1, large);
      const handle = structuredClone(await first.stage(batch(1), [['row']]));
      place.inject(pattern, fault);
      await expect(first.publish(handle)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      const second = await place.driver(2, large);
      await second.publish(handle);
      await second.sweep?.();
      expect(await place.names()).toEqual(['averages-out/000000000001000-0000.jsonl']);
      expect(await place.rows()).toEqual(['row']);
    });

    it('before its commit leaves an orphan that the next sweep removes, and only that', async () => {
      const place = new Place();
      const first = await place.driver(1, large);
      await first.stage(batch(1), [['orphan']]);
      const second = await place.driver(2, large);
      const handle = await second.stage(batch(1), [['row']]);
      await second.sweep?.();
      expect(await place.names('_staging/')).toEqual([expect.stringContaining('00000000000000000002-1-')]);
      await second.publish(handle);
      expect(await place.names()).toEqual(['averages-out/000000000001000-0000.jsonl']);
    });

    it('and wakes again as a zombie can only repeat what is there', async () => {
      const place = new Place();
      const zombie = await place.driver(1, large);
      const handle = structuredClone(await zombie.stage(batch(1), [['row']]));
      const second = await place.driver(2, large);
      await second.publish(handle);
      await second.sweep?.();
      await zombie.publish(handle);
      expect(await place.rows()).toEqual(['row']);
    });
  });

  it('does not know the outcome when the staging write has none', async () => {
    const place = new Place();
    const sink = await place.driver(1, large);
    place.inject({ type: 'put' }, { kind: 'lose-answer' });
    await expect(sink.stage(batch(1), [['row']])).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });

  it('refuses to publish over other content', async () => {
    const place = new Place();
    const sink = await place.driver(1);
    const handle = await sink.stage(batch(1), [['row']]);
    await place.store.putIfAbsent('averages-out/000000000001000-0000.jsonl', text('"other"\n'), id(1));
    await expect(sink.publish(handle)).rejects.toMatchObject({
      code: 'SINK_CONFLICT',
      message: expect.stringContaining('averages-out/000000000001000-0000.jsonl'),
    });
    expect(await place.rows()).toEqual(['other']);
  });

  it('accepts the same content by whoever wrote it', async () => {
    const place = new Place();
    const sink = await place.driver(1);
    const handle = await sink.stage(batch(1), [['row']]);
    await place.store.putIfAbsent('averages-out/000000000001000-0000.jsonl', text('"row"\n'), id(1));
    await sink.publish(handle);
  });

  it('names a committed output whose staged bytes are gone or damaged', async () => {
    const place = new Place();
    const first = await place.driver(1, large);
    const handle = structuredClone(await first.stage(batch(1), [['row']]));
    const [staged] = await place.names();
    await place.store.delete([staged!]);
    const second = await place.driver(2, large);
    await expect(second.publish(handle)).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
      message: expect.stringContaining('missing'),
    });
    await place.store.putIfAbsent(staged!, text('"rov"\n'), id(1));
    await expect(second.publish(handle)).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
      message: expect.stringContaining('damaged'),
    });
  });

  describe('rows', () => {
    it.each([
      ['undefined', undefined],
      ['a bigint', 1n],
      ['a function', () => 1],
      ['a cycle', cycle()],
      ['a toJSON that throws', { toJSON: () => JSON.parse('{') }],
    ])('that JSON cannot carry are refused by name: %s', async (_name, row) => {
      const sink = await new Place().driver(1);
      await expect(sink.stage(batch(1), [['good'], ['good', row]])).rejects.toMatchObject({
        code: 'VALUE_UNSUPPORTED',
        message: expect.stringContaining('Row 1 of partition 1'),
      });
    });

    it('of format text are their own lines', async () => {
      const place = new Place();
      const sink = await place.driver(1, { format: 'text' });
      await sink.publish(await sink.stage(batch(1), [['plain', 1.5, 10n, true, '']]));
      expect(await place.names()).toEqual(['averages-out/000000000001000-0000.txt']);
      expect(await place.rows()).toEqual(['plain', '1.5', '10', 'true', '']);
      for (const row of [{}, null, undefined, 'two\nlines']) {
        await expect(sink.stage(batch(2), [[row]])).rejects.toMatchObject({
          code: 'VALUE_UNSUPPORTED',
          message: expect.stringContaining("format: 'jsonl'"),
        });
      }
    });

    it('come back as they were, whatever they are and however they are split', async () => {
      const partitions = fc.array(fc.array(fc.jsonValue(), { maxLength: 5 }), { maxLength: 4 });
      await fc.assert(
        fc.asyncProperty(fc.array(partitions, { maxLength: 4 }), fc.boolean(), async (batches, staged) => {
          const place = new Place();
          const sink = await place.driver(1, staged ? large : {});
          for (const [i, rows] of batches.entries()) {
            const handle = await sink.stage(batch(i + 1), rows);
            if (handle !== undefined) await sink.publish(handle);
          }
          // JSON itself is the oracle: it writes -0 as 0.
          expect(await place.rows()).toEqual(JSON.parse(JSON.stringify(batches.flat(2))));
        }),
        { numRuns: 50 },
      );
    });

    it('of large batches do not fit into one string and need not', async () => {
      const place = new Place();
      const sink = await place.driver(1);
      const rows = Array.from({ length: 5_000 }, (_, i) => ({ i, text: 'ü'.repeat(300) }));
      await sink.publish(await sink.stage(batch(1), [rows.slice(0, 10), rows.slice(10)]));
      expect(await place.rows()).toEqual(rows);
    });
  });

  describe('readBlobOutputBatches', () => {
    it('ends the older generation at the point of a rewind, also where the new one has no rows', async () => {
      const place = new Place();
      const sink = await place.driver(1);
      const write = async (batchId: number, batchTimeMs: number, generation: number) =>
        sink.publish(await sink.stage({ batchId, batchTimeMs, generation }, [[`${batchTimeMs}.${generation}`]]));
      for (const [index, time] of [1000, 2000, 3000, 4000].entries()) await write(index + 1, time, 0);
      const rewind = { batchId: 2, batchTimeMs: 2000, generation: 1 };
      await sink.onRewind?.(rewind);
      expect(await place.rows()).toEqual(['1000.0', '2000.0']);
      await sink.onRewind?.(rewind);
      // Batch 3 of the new line has no rows.
      await write(7, 4000, 1);
      await write(8, 5000, 1);
      expect(await place.rows()).toEqual(['1000.0', '2000.0', '4000.1', '5000.1']);
      await sink.onRewind?.({ batchId: 7, batchTimeMs: 4000, generation: 2 });
      await write(10, 5000, 2);
      expect(await place.rows()).toEqual(['1000.0', '2000.0', '4000.1', '5000.2']);
    });

    it('gives batches in order of time, the highest generation of each, and nothing foreign', async () => {
      const place = new Place();
      const sink = await place.driver(1);
      for (const [batchId, generation] of [
        [20, 0],
        [3, 0],
        [100, 0],
        [20, 1],
        [20, 12],
      ] as const) {
        await sink.publish(await sink.stage(batch(batchId, generation), [[`${batchId}.${generation}`]]));
      }
      await place.store.putIfAbsent('averages-out/README', text('x'), id(1));
      await place.store.putIfAbsent('averages-out-2/000000000001000-0000.jsonl', text('"x"\n'), id(2));
      const found: unknown[] = [];
      for await (const output of readBlobOutputBatches(place.url, uid)) found.push(output);
      expect(found).toEqual([
        { batchTimeMs: 3_000, generation: 0, rows: ['3.0'] },
        { batchTimeMs: 20_000, generation: 12, rows: ['20.12'] },
        { batchTimeMs: 100_000, generation: 0, rows: ['100.0'] },
      ]);
    });

    it('finds the output of any uid', async () => {
      for (const odd of ['a/b', '..', 'spaced out', '_staging', 'ünïcode', 'dot.']) {
        const url = `memory:sink-${places++}`;
        const sink = blobSink({ url });
        await sink.open?.({ streamId: 's', uid: odd, epoch: 1 });
        await sink.publish(await sink.stage(batch(1), [[odd]]));
        const rows: unknown[] = [];
        for await (const row of readBlobOutput(url, odd)) rows.push(row);
        expect(rows).toEqual([odd]);
        await sink.close?.();
      }
    });
  });

  it('refuses options it does not know and values out of range', () => {
    const url = 'memory:x';
    const wrong: readonly [object, string][] = [
      [{ url, fromat: 'text' }, 'fromat'],
      [{ url, format: 'csv' }, 'csv'],
      [{ url, inlineBytesMax: -1 }, '-1'],
    ];
    for (const [options, named] of wrong) {
      expect(() => blobSink(options as BlobSinkOptions)).toThrow(
        expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining(named) }),
      );
    }
    expect(() => blobSink({ url: 's3://bucket' })).toThrow(expect.objectContaining({ code: 'URL_INVALID' }));
  });

  it('describes itself without secrets and states its guarantee', () => {
    const sink = blobSink({ url: 'https://account.blob.core.windows.net/out?sv=1&sig=secret' });
    expect(sink).toMatchObject({
      kind: 'blob',
      guarantee: 'exactly once',
      description: 'https://account.blob.core.windows.net/out',
    });
  });

  it('cannot be used before open or after close', async () => {
    const place = new Place();
    const sink = await place.driver(1);
    await sink.close?.();
    await sink.close?.();
    await expect(sink.stage(batch(1), [['x']])).rejects.toMatchObject({ code: 'STATUS_INVALID' });
  });
});

function cycle(): unknown {
  const row: { self?: unknown } = {};
  row.self = row;
  return row;
}
