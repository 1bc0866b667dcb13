import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Turns } from '../../../src/base/turns.ts';
import type { RDD } from '../../../src/rdd/rdd.ts';
import type { RddContext } from '../../../src/rdd/rdd-context.ts';
import { newContext } from './fixture.ts';

/** Time that only the functions of a program take: what lies between two turns is the work that was done in one. */
class WorkClock {
  ms = 0;
  longestMs = 0;
  turns = 0;
  #sinceMs = 0;

  work<T>(ms: number, result: T): T {
    this.ms += ms;
    this.longestMs = Math.max(this.longestMs, this.ms - this.#sinceMs);
    return result;
  }

  context(): RddContext {
    const yieldToLoop = async (): Promise<void> => {
      await setImmediate();
      this.turns += 1;
      this.#sinceMs = this.ms;
    };
    return newContext(3, { turns: new Turns({ now: () => this.ms, yieldToLoop }) });
  }
}

const rowMs = 0.01;
const rows = Array.from({ length: 20_000 }, (_, i) => (i * 7919) % 20_011);

type Work = <T>(result: T, share?: number) => T;

/** Each does its work where the name says, and nowhere else. */
const jobs: Record<string, (rdd: RDD<number>, work: Work) => Promise<unknown>> = {
  'a narrow operator': (rdd, work) => rdd.map((x) => work(x + 1)).collect(),
  'the rows of mapPartitions': (rdd, work) =>
    rdd
      .mapPartitions((part) => part.map((x) => x))
      .map((x) => work(x))
      .count(),
  'combining before a shuffle': (rdd, work) =>
    rdd
      .map((x) => [x % 9000, 1] as [number, number])
      .combineByKey({ create: (v) => work(v), mergeValue: (a, b) => work(a + b), mergeCombiners: (a, b) => a + b })
      .collect(),
  'merging behind a shuffle': (rdd, work) =>
    rdd
      .map((x) => [x % 5000, 1] as [number, number])
      .combineByKey({ create: (v) => v, mergeValue: (a, b) => a + b, mergeCombiners: (a, b) => work(a + b) })
      .collect(),
  'rows that come out of a reduction': (rdd, work) =>
    rdd
      .map((x) => [x, 1] as [number, number])
      .reduceByKey((a, b) => a + b)
      .map(([x]) => work(x))
      .count(),
  'groups behind a shuffle': (rdd, work) =>
    rdd
      .keyBy((x) => x % 9000)
      .groupByKey()
      .map(([x]) => work(x))
      .count(),
  'the two sides of a join': (rdd, work) =>
    rdd
      .keyBy((x) => x)
      .join(rdd.keyBy((x) => x))
      .map(([x]) => work(x))
      .count(),
  'rows dealt out anew': (rdd, work) =>
    rdd
      .repartition(2)
      .map((x) => work(x))
      .count(),
  'distinct rows': (rdd, work) =>
    rdd
      .distinct()
      .map((x) => work(x))
      .count(),
  'rows of both sides of an intersection': (rdd, work) =>
    rdd
      .intersection(rdd)
      .map((x) => work(x))
      .count(),
  'comparing, over all partitions': (rdd, work) =>
    rdd
      .sortBy(
        (x) => x,
        true,
        3,
        (a, b) => work(a - b, 0.05),
      )
      .collect(),
  'sorted rows': (rdd, work) =>
    rdd
      .sortBy((x) => x)
      .map((x) => work(x))
      .count(),
  'comparing, within a partition': (rdd, work) =>
    rdd
      .keyBy((x) => x)
      .partitionBy({ numPartitions: 1, partition: () => 0, equals: () => false })
      .mapPartitions((part) => part)
      .sortBy(
        ([x]) => x,
        true,
        1,
        (a, b) => work(a - b, 0.05),
      )
      .collect(),
  'the combinations of a key with many values': (rdd, work) =>
    rdd
      .filter((x) => x < 100)
      .keyBy(() => 'all')
      .join(rdd.filter((x) => x < 101).keyBy(() => 'all'))
      .map(([, [x]]) => work(x))
      .count(),
  'choosing the first rows of an order': (rdd, work) => rdd.takeOrdered(20_000, (a, b) => work(a - b, 0.05)),
  'the keys of a Map': async (rdd, work) => {
    const keyed = rdd.map((x) => [
      {
        get id() {
          return work(x);
        },
      },
      x,
    ]);
    return (await keyed.collectAsMap()).size;
  },
  'rows that are kept': async (rdd, work) => {
    const kept = rdd.map((x) => x).persist();
    await kept.count();
    return kept.map((x) => work(x)).count();
  },
};

function plain(result: unknown): unknown {
  return result instanceof Map ? [...result] : result;
}

describe('the turns of the event loop', () => {
  for (const [name, job] of Object.entries(jobs)) {
    it(`come while there is much to do: ${name}`, async () => {
      const clock = new WorkClock();
      const result = await job(clock.context().parallelize(rows, 2), (value, share = 1) =>
        clock.work(rowMs * share, value),
      );
      expect(clock.ms).toBeGreaterThan(40);
      expect(clock.turns).toBeGreaterThan(2);
      expect(clock.longestMs).toBeLessThan(20);
      // On a clock that stands still nothing pauses.
      const still = newContext(3, {
        turns: new Turns({ now: () => 0, yieldToLoop: () => Promise.reject(new Error('no turn is due')) }),
      });
      expect(result).toEqual(await job(still.parallelize(rows, 2), (value) => value));
    });
  }

  const afterwards: Record<string, (rdd: RDD<number>) => Promise<unknown>> = {
    collect: (rdd) => rdd.collect(),
    countByValue: (rdd) => rdd.countByValue(),
    collectAsMap: (rdd) => rdd.keyBy((x) => x).collectAsMap(),
    takeOrdered: (rdd) => rdd.takeOrdered(120_000),
    lookup: (rdd) => rdd.keyBy(() => 'all').lookup('all'),
    takeSample: (rdd) => rdd.takeSample(false, 60_000, 1),
  };
  for (const [name, action] of Object.entries(afterwards)) {
    it(`come when ${name} puts together what many tasks gave`, async () => {
      // Every look at the clock takes a little; who does not look never gives way.
      let ms = 0;
      let turns = 0;
      let turnsOfTasks = -1;
      const now = (): number => {
        ms += 0.5;
        return ms;
      };
      const yieldToLoop = async (): Promise<void> => {
        turns += 1;
      };
      const context = newContext(3, { turns: new Turns({ now, yieldToLoop }) });
      const { runner } = context;
      const run = runner.run.bind(runner);
      runner.run = async (...job) => {
        const results = await run(...job);
        turnsOfTasks = turns;
        return results as never;
      };
      const many = Array.from({ length: 120_000 }, (_, i) => (i * 7919) % 119_993);
      const result = await action(context.parallelize(many, 3));
      expect(turnsOfTasks).toBeGreaterThanOrEqual(0);
      expect(turns - turnsOfTasks).toBeGreaterThan(2);
      const still = newContext(3, { turns: new Turns({ now: () => 0 }) });
      const expected = await action(still.parallelize(many, 3));
      // A matcher would take seconds to compare them.
      expect(JSON.stringify(plain(result)) === JSON.stringify(plain(expected))).toBe(true);
    });
  }

  it('come between rows that take a millisecond each', async () => {
    const clock = new WorkClock();
    await clock
      .context()
      .parallelize(rows.slice(0, 500), 1)
      .map((x) => clock.work(1, x))
      .count();
    // The first piece of a partition has 16 rows: nobody knows yet how long they take.
    expect(clock.longestMs).toBeLessThan(30);
    expect(clock.turns).toBeGreaterThan(30);
  });

  it('are taken by one task at a time: the next one begins when nothing is paused', async () => {
    const clock = new WorkClock();
    const begun: number[] = [];
    await clock
      .context()
      .parallelize(rows.slice(0, 900), 3)
      .mapPartitions((part) => part)
      .map((x) => clock.work(0.1, x))
      .zipWithUniqueId()
      .foreachPartition((_, partition) => {
        begun.push(partition);
      });
    const order: number[] = [];
    await clock
      .context()
      .parallelize([0, 1, 2], 3)
      .flatMap((p) => Array.from({ length: 300 }, () => p))
      .repartition(3)
      .mapPartitions((part, partition) => part.map(() => partition))
      .map((partition) => {
        if (order.at(-1) !== partition) order.push(partition);
        return clock.work(0.1, partition);
      })
      .count();
    expect(begun).toEqual([0, 1, 2]);
    expect(order).toEqual([0, 1, 2]);
  });

  it('end a job that is cancelled in the middle of a partition', async () => {
    const clock = new WorkClock();
    const cancel = new AbortController();
    const turns = new Turns({ now: () => clock.ms, yieldToLoop: async () => cancel.abort() });
    const context = newContext(1, { turns, signal: cancel.signal });
    const job = context
      .parallelize(rows, 1)
      .map((x) => clock.work(rowMs, x))
      .count();
    await expect(job).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(clock.ms).toBeLessThan(50);
  });

  it('do not hide an error, nor rows that were enough', async () => {
    const clock = new WorkClock();
    const rdd = clock.context().parallelize(rows, 1);
    const failing = rdd.map((x, i = clock.ms) => {
      if (i > 40) throw new Error('too much');
      return clock.work(rowMs, x);
    });
    await expect(failing.count()).rejects.toMatchObject({ code: 'TASK_FAILED' });
    clock.ms = 0;
    expect(await rdd.map((x) => clock.work(rowMs, x)).take(5000)).toEqual(rows.slice(0, 5000));
    expect(clock.ms).toBeLessThan(51);
  });
});
