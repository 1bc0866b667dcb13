import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newContext, partitionCount } from './fixture.ts';

const numbers = fc.array(fc.integer({ min: -20, max: 20 }), { maxLength: 40 });

describe('RDD actions', () => {
  it('takeOrdered gives of equal rows those that come first, as sorting all would', async () => {
    const row = fc.record({ order: fc.integer({ min: 0, max: 6 }), name: fc.nat() });
    await fc.assert(
      fc.asyncProperty(fc.array(row, { maxLength: 60 }), fc.nat(20), partitionCount, async (rows, n, partitions) => {
        const byOrder = (a: { order: number }, b: { order: number }): number => a.order - b.order;
        const best = await newContext().parallelize(rows, partitions).takeOrdered(n, byOrder);
        expect(best).toEqual([...rows].sort(byOrder).slice(0, n));
      }),
    );
  });

  it('give what arrays give', async () => {
    await fc.assert(
      fc.asyncProperty(numbers, partitionCount, fc.nat(45), async (rows, n, k) => {
        const rdd = newContext().parallelize(rows, n);
        const ascending = [...rows].sort((a, b) => a - b);
        expect(await rdd.collect()).toEqual(rows);
        expect(await rdd.count()).toBe(rows.length);
        expect(await rdd.take(k)).toEqual(rows.slice(0, k));
        expect(await rdd.isEmpty()).toBe(rows.length === 0);
        expect(await rdd.takeOrdered(k)).toEqual(ascending.slice(0, k));
        expect(await rdd.top(k)).toEqual([...ascending].reverse().slice(0, k));
        expect(await rdd.top(k, (a, b) => b - a)).toEqual(ascending.slice(0, k));
        expect(await rdd.fold(0, (a, b) => a + b)).toBe(rows.reduce((a, b) => a + b, 0));
        const append = (a: number[], b: number | number[]): number[] => a.concat(b);
        expect(await rdd.aggregate<number[]>([], append, append)).toEqual(rows);
        const counts = new Map<number, number>();
        for (const row of rows) counts.set(row, (counts.get(row) ?? 0) + 1);
        expect(await rdd.countByValue()).toEqual(counts);
        if (rows.length > 0) {
          expect(await rdd.first()).toBe(rows[0]);
          expect(await rdd.map(String).reduce((a, b) => `${a},${b}`)).toBe(rows.join());
          expect(await rdd.min()).toBe(ascending[0]);
          expect(await rdd.max()).toBe(ascending.at(-1));
        } else {
          for (const action of [() => rdd.first(), () => rdd.reduce((a) => a), () => rdd.min(), () => rdd.max()]) {
            await expect(action()).rejects.toMatchObject({ code: 'EMPTY_COLLECTION' });
          }
        }
      }),
    );
  });

  it('reduce takes undefined and array rows as they are', async () => {
    const context = newContext();
    expect(await context.parallelize([undefined], 1).reduce((a) => a)).toBeUndefined();
    expect(await context.parallelize([[1], [2, 3]], 2).reduce((a, b) => a.concat(b))).toEqual([1, 2, 3]);
    expect(await context.parallelize([[1], [2, 3]], 2).collect()).toEqual([[1], [2, 3]]);
  });

  it('takeOrdered holds only a few times n rows and is right for many', async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => (i * 7919) % 20_000);
    expect(await newContext().parallelize(rows, 2).takeOrdered(3)).toEqual([0, 1, 2]);
  });

  it('take reads no row beyond what it needs', async () => {
    const seen: number[] = [];
    const rows = Array.from({ length: 100 }, (_, i) => i);
    const rdd = newContext()
      .parallelize(rows, 10)
      .flatMap((x) => {
        seen.push(x);
        return [x, x];
      });
    expect(await rdd.take(3)).toEqual([0, 0, 1]);
    expect(seen).toEqual([0, 1]);
    expect(await rdd.isEmpty()).toBe(false);
    expect(seen).toEqual([0, 1, 0]);
    seen.length = 0;
    expect(await rdd.take(25)).toHaveLength(25);
    // The first partition, then four more, each only as far as five missing rows reach.
    expect(seen.length).toBe(10 + 4 * 3);
  });

  it('an early stop closes generators and passes asynchronous partitions', async () => {
    let closed = 0;
    const context = newContext();
    const rdd = context
      .rdd<number>({
        name: 'slow',
        numPartitions: 2,
        dependencies: [],
        pipe: async (_, __, push) => {
          await Promise.resolve();
          for (let i = 0; i < 10; i++) push(i);
        },
      })
      .flatMap(function* (x) {
        try {
          yield x;
          yield x;
        } finally {
          closed++;
        }
      });
    expect(await rdd.take(3)).toEqual([0, 0, 1]);
    expect(closed).toBe(2);
    expect(await rdd.count()).toBe(40);
  });

  it('foreach runs every row in order of its partition and waits for promises', async () => {
    const seen: number[] = [];
    const rdd = newContext().parallelize([1, 2, 3, 4], 2);
    await rdd.foreach((x) => {
      seen.push(x);
    });
    expect(seen.toSorted()).toEqual([1, 2, 3, 4]);
    let open = 0;
    await rdd.coalesce(1).foreach(async (x) => {
      expect(++open).toBe(1);
      await Promise.resolve();
      open--;
      seen.push(x);
    });
    expect(seen.slice(4)).toEqual([1, 2, 3, 4]);
    const parts: [number, number][] = [];
    await rdd.foreachPartition((rows, partition) => {
      parts.push([partition, rows.length]);
    });
    expect(parts).toEqual([
      [0, 2],
      [1, 2],
    ]);
  });

  it('an error that a function threw while enough rows were there is not swallowed', async () => {
    const rdd = newContext(1, { taskAttemptsMax: 1 })
      .parallelize([1, 2], 1)
      .map((x) => {
        if (x === 2) throw new Error('boom');
        return x;
      });
    expect(await rdd.take(1)).toEqual([1]);
    await expect(rdd.take(2)).rejects.toMatchObject({ code: 'TASK_FAILED' });
  });
});
