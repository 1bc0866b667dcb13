import { describe, expect, it } from 'vitest';
import { TaskContext } from '../../../src/rdd/task.ts';
import { newContext } from './fixture.ts';

describe('accumulators', () => {
  it('add up what tasks and the program add', async () => {
    const context = newContext();
    const rows = context.longAccumulator('rows');
    const weights = context.doubleAccumulator();
    const odd = context.collectionAccumulator<number>('odd');
    expect([rows.value, rows.isZero, weights.avg, odd.isZero]).toEqual([0, true, Number.NaN, true]);
    await context.parallelize([1, 2, 3, 4, 5], 2).foreach((x) => {
      rows.add(1);
      weights.add(x / 2);
      if (x % 2 === 1) odd.add(x);
    });
    rows.add(10);
    expect([rows.name, rows.value, rows.sum, rows.count]).toEqual(['rows', 15, 15, 6]);
    expect([weights.value, weights.count, weights.avg]).toEqual([7.5, 5, 1.5]);
    expect([...odd.value].sort()).toEqual([1, 3, 5]);
    expect([rows.isZero, odd.isZero]).toEqual([false, false]);
    for (const accumulator of [rows, weights, odd]) accumulator.reset();
    expect([rows.value, weights.count, odd.value]).toEqual([0, 0, []]);
  });

  it('count each task once, whatever the number of tries, also behind a shuffle', async () => {
    const context = newContext(2, { taskAttemptsMax: 4 });
    const mapped = context.longAccumulator();
    const visited = context.longAccumulator();
    const seen = context.collectionAccumulator<number>();
    let failures = 5;
    const rdd = context
      .parallelize([1, 2, 3, 4], 2)
      .map((x) => {
        mapped.add(1);
        if (x % 2 === 0 && failures-- > 0) throw new Error('flaky');
        return x;
      })
      .repartition(2);
    let moreFailures = 2;
    await rdd.foreach(async (x) => {
      visited.add(1);
      await Promise.resolve();
      seen.add(x);
      if (moreFailures-- > 0) throw new Error('flaky');
    });
    expect([mapped.value, visited.value]).toEqual([4, 4]);
    expect([...seen.value].sort()).toEqual([1, 2, 3, 4]);
  });

  it('keep apart tasks that wait at the same time', async () => {
    const context = newContext(1, { taskAttemptsMax: 2, concurrentTasksMax: 3 });
    const sum = context.longAccumulator();
    const hasFailed = new Set<number>();
    await context.parallelize([1, 10, 100], 3).foreachPartition(async ([x], partition) => {
      sum.add(x!);
      for (let i = 0; i < 3 - partition; i++) await Promise.resolve();
      sum.add(x!);
      if (hasFailed.has(partition)) return;
      hasFailed.add(partition);
      throw new Error('first try');
    });
    expect(sum.value).toBe(222);
  });

  it('drop what a failed job leaves undone, and keep what its other tasks did', async () => {
    const context = newContext(1, { taskAttemptsMax: 2 });
    const sum = context.longAccumulator();
    const job = context.parallelize([1, 10], 2).foreach((x) => {
      sum.add(x);
      if (x === 10) throw new Error('always');
    });
    await expect(job).rejects.toMatchObject({ code: 'TASK_FAILED' });
    expect(sum.value).toBe(1);
  });

  it('count the jobs inside of a task when that task succeeds', async () => {
    const context = newContext(1, { taskAttemptsMax: 2 });
    const sum = context.longAccumulator();
    let failures = 1;
    await context.parallelize([1], 1).foreachPartition(async () => {
      await context.parallelize([1, 2], 2).foreach((x) => sum.add(x));
      expect(sum.value).toBe(0);
      if (failures-- > 0) throw new Error('first try');
    });
    expect(sum.value).toBe(3);
  });

  it('add again for every action that computes a transformation', async () => {
    const context = newContext();
    const rows = context.longAccumulator();
    const rdd = context.parallelize([1, 2]).map((x) => {
      rows.add(1);
      return x;
    });
    expect(rows.value).toBe(0);
    await rdd.count();
    await rdd.count();
    expect(rows.value).toBe(4);
  });

  it('refuse what they do not add up, and what comes after the end of a task', async () => {
    const context = newContext();
    const invalid = expect.objectContaining({ code: 'OPTION_INVALID' });
    expect(() => context.longAccumulator().add(0.5)).toThrowError(invalid);
    expect(() => context.doubleAccumulator('w').add('1' as never)).toThrowError(invalid);
    const late = context.longAccumulator('late');
    const gate = Promise.withResolvers<void>();
    let forgotten: Promise<void> | undefined;
    await context.parallelize([1], 1).foreach(() => {
      forgotten = gate.promise.then(() => late.add(1));
    });
    gate.resolve();
    await expect(forgotten).rejects.toMatchObject({ code: 'STATUS_INVALID', message: expect.stringContaining('late') });
    expect(late.value).toBe(0);
  });

  it('can be made of anything that merges', async () => {
    const context = newContext();
    const words = context.accumulator<string, Set<string>, number>({
      zero: () => new Set(),
      add: (set, word) => set.add(word),
      merge: (a, b) => new Set([...a, ...b]),
      read: (set) => set.size,
    });
    await context.parallelize(['a', 'b', 'a', 'c'], 3).foreach((word) => words.add(word));
    expect(words.value).toBe(3);
  });
});

describe('broadcast values', () => {
  it('are there for tasks until they are destroyed', async () => {
    const context = newContext();
    const names = context.broadcast(new Map([[1, 'one']]));
    const rdd = context.parallelize([1, 2]).map((x) => names.value.get(x) ?? '?');
    expect(await rdd.collect()).toEqual(['one', '?']);
    names.unpersist();
    expect(await rdd.collect()).toEqual(['one', '?']);
    expect(context.broadcast(undefined).value).toBeUndefined();
    names.destroy();
    const destroyed = expect.objectContaining({ code: 'STATUS_INVALID' });
    for (const use of [() => names.value, () => names.unpersist(), () => names.destroy()]) {
      expect(use).toThrowError(destroyed);
    }
    await expect(rdd.collect()).rejects.toMatchObject({ code: 'STATUS_INVALID' });
  });
});

describe('TaskContext.get', () => {
  it('tells a task who it is, also after a wait, and is undefined elsewhere', async () => {
    expect(TaskContext.get()).toBeUndefined();
    const seen: unknown[] = [];
    let failures = 1;
    await newContext(1, { taskAttemptsMax: 2 })
      .parallelize([1, 2], 2)
      .foreachPartition(async () => {
        await Promise.resolve();
        const task = TaskContext.get();
        seen.push([task?.partition, task?.attempt]);
        if (failures-- > 0) throw new Error('first try');
      });
    expect(seen.toSorted()).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
    ]);
    expect(TaskContext.get()).toBeUndefined();
  });
});

describe('toLocalIterator', () => {
  it('gives all rows in order and computes a partition when it is reached', async () => {
    const computed: number[] = [];
    const rdd = newContext()
      .parallelize([1, 2, 3, 4, 5, 6], 3)
      .map((x) => {
        computed.push(x);
        return x;
      });
    const rows: number[] = [];
    for await (const row of rdd.toLocalIterator()) rows.push(row);
    expect(rows).toEqual([1, 2, 3, 4, 5, 6]);
    computed.length = 0;
    for await (const row of rdd.toLocalIterator()) if (row === 3) break;
    expect(computed).toEqual([1, 2, 3, 4]);
    const failing = rdd.map((): number => {
      throw new Error('boom');
    });
    await expect(failing.toLocalIterator().next()).rejects.toMatchObject({ code: 'TASK_FAILED' });
    expect(await newContext().emptyRDD().toLocalIterator().next()).toEqual({ done: true, value: undefined });
  });
});
