import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { equalPlain } from '../../../src/base/plain-data.ts';
import { decodeRows, encodeRows } from '../../../src/base/stored-rows.ts';
import { publishOutput, stageOutput } from '../../../src/execution/sink-delivery.ts';
import type { Sink } from '../../../src/sinks/sink.ts';
import { anyValue } from '../base/plain-values.ts';
import { LedgerSink, ledgerDatabase, TableSink, type Total } from './sink-world.ts';

const batch = (batchId: number, epoch = 1) => ({
  streamId: 's',
  uid: 'out',
  epoch,
  batchId,
  batchTimeMs: batchId * 1000,
});
/** As `saveTo` does it, which has checked the rows. */
const untyped = (sink: Sink<Total>): Sink<unknown> => sink as Sink<unknown>;
const rows: readonly Total[] = [
  ['a', 1],
  ['b', 2],
];

describe('a transactional sink', () => {
  const ledger = () => {
    const database = ledgerDatabase();
    const sink = untyped(new LedgerSink(database, () => {}));
    const write = async (batchId: number, epoch: number) => {
      const staged = await stageOutput(sink, { ...batch(batchId), generation: 0 }, [rows]);
      await publishOutput(sink, { ...staged, batch: batch(batchId, epoch) });
    };
    const batches = () => database.prepare('SELECT batch, count(*) AS rows FROM ledger GROUP BY batch').all();
    return { sink, write, batches, database };
  };

  it('passes over a batch that is written, whoever wrote it', async () => {
    const { write, batches } = ledger();
    await write(1, 1);
    await write(1, 1);
    await write(1, 2);
    expect(batches()).toEqual([{ batch: 1, rows: 2 }]);
  });

  it('refuses an older driver, whatever batch it brings', async () => {
    const { write, batches } = ledger();
    await write(1, 5);
    for (const id of [1, 2]) {
      await expect(write(id, 4)).rejects.toMatchObject({
        code: 'FENCED',
        message: expect.stringContaining('the driver of epoch 5 has written batch 1 already'),
      });
    }
    expect(batches()).toEqual([{ batch: 1, rows: 2 }]);
    await write(2, 5);
    expect(batches()).toHaveLength(2);
  });

  it('leaves neither rows nor progress of a transaction that fails', async () => {
    const { database, write, batches } = ledger();
    database.exec("CREATE TRIGGER no BEFORE INSERT ON progress BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    await expect(write(1, 1)).rejects.toThrow('disk full');
    expect(batches()).toEqual([]);
    database.exec('DROP TRIGGER no');
    await write(1, 1);
    expect(batches()).toEqual([{ batch: 1, rows: 2 }]);
  });
});

describe('a sink that gets its rows from the record', () => {
  it('gets them as they were at the commit, though the program has changed its objects since', async () => {
    const table = new Map();
    const sink = untyped(new TableSink(table, () => {}));
    const mutable: [string, number][] = [['a', 1]];
    const staged = await stageOutput(sink, { ...batch(1), generation: 0 }, [mutable]);
    mutable[0]![1] = 99;
    await publishOutput(sink, { ...staged, batch: batch(1) });
    expect(table.get('a')).toEqual({ total: 1, batchId: 1 });
  });

  it('is not called for partitions without rows, and stages nothing for a batch without', async () => {
    const partitions: number[] = [];
    const sink = {
      sinkClass: 'idempotent',
      kind: 'k',
      description: 'd',
      write: async (_rows: readonly unknown[], { partition }: { partition: number }) => {
        partitions.push(partition);
      },
    } as const;
    const staged = await stageOutput(sink, { ...batch(1), generation: 3 }, [[], rows, [], rows]);
    await publishOutput(sink, { ...staged, batch: batch(1) });
    expect(partitions).toEqual([1, 3]);
    expect(await stageOutput(sink, { ...batch(2), generation: 3 }, [[], []])).toEqual({
      handle: undefined,
      rows: undefined,
    });
  });

  it('is told when the record holds the handle of another class', async () => {
    const sink = untyped(new TableSink(new Map(), () => {}));
    await expect(
      publishOutput(sink, { handle: { name: 'x' }, rows: undefined, batch: batch(1) }),
    ).rejects.toMatchObject({
      code: 'CHECKPOINT_INCOMPATIBLE',
    });
  });
});

describe('stored rows', () => {
  it('come back equal, with their partitions and generation', () => {
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.array(fc.array(anyValue, { maxLength: 6 }), { maxLength: 4 }),
        (generation, partitions) => {
          return equalPlain(decodeRows(encodeRows(generation, partitions)), { generation, partitions });
        },
      ),
      { numRuns: 200 },
    );
    const many = [Array.from({ length: 1000 }, (_, index) => ({ index, name: `row ${index}` })), []];
    expect(decodeRows(encodeRows(0, many)).partitions).toEqual(many);
  });

  it('that cannot be stored are refused by name', () => {
    const partitions = [['fine'], [...Array.from({ length: 100 }, (_, i) => i), { f: () => 1 }]];
    expect(() => encodeRows(0, partitions)).toThrow(/Row 100 of partition 1 cannot be stored/);
  });

  it('that are cut anywhere, or damaged, fail with CHECKPOINT_CORRUPT or give other plain rows', () => {
    const bytes = encodeRows(1, [[{ a: 1 }, { a: 2 }, 'x'], [[1, 2, 3]]]);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeRows(bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }),
      );
    }
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at]! ^= 0x41;
      try {
        decodeRows(damaged);
      } catch (error) {
        expect(error).toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
      }
    }
  });
});
