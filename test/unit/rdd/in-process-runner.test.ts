import { describe, expect, it } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { Turns } from '../../../src/base/turns.ts';
import { InProcessRunner } from '../../../src/rdd/in-process-runner.ts';
import { RddContext } from '../../../src/rdd/rdd-context.ts';
import type { TaskContext } from '../../../src/rdd/task.ts';
import { newContext } from './fixture.ts';

/** Throws for the first `times` calls. */
function failing<T>(times: number, error: () => unknown): (row: T) => T {
  let left = times;
  return (row) => {
    if (left-- > 0) throw error();
    return row;
  };
}

describe('in-process job runner', () => {
  it('tries a task up to four times and gives complete results', async () => {
    for (const times of [1, 3]) {
      const rdd = newContext()
        .parallelize([1, 2, 3, 4], 2)
        .map(failing(times, () => new Error('flaky')));
      expect(await rdd.collect()).toEqual([1, 2, 3, 4]);
    }
    const shuffled = newContext()
      .parallelize([1, 2, 3, 4], 2)
      .map(failing(3, () => 'no error object'))
      .repartition(1);
    expect((await shuffled.collect()).sort()).toEqual([1, 2, 3, 4]);
  });

  it('reports the stage, the partition and the cause after the last try', async () => {
    const cause = new Error('bad row');
    const rdd = newContext(3, { taskAttemptsMax: 4 })
      .parallelize([1, 2, 3, 4], 2)
      .map((x) => {
        if (x === 3) throw cause;
        return x;
      });
    await expect(rdd.filter(() => true).collect()).rejects.toMatchObject({
      code: 'TASK_FAILED',
      kind: 'user',
      cause,
      message: expect.stringContaining('bad row'),
      context: { stageName: 'filter', partition: 1, attempts: 4 },
    });
    const error = await rdd
      .repartition(1)
      .count()
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'TASK_FAILED', context: { stageName: 'map', partition: 1 } });
  });

  it('tells a task which try it is', async () => {
    const attempts: [number, number][] = [];
    const context = newContext();
    const rdd = context.rdd<number>({
      name: 'effects',
      numPartitions: 2,
      dependencies: [],
      pipe: (partition: number, task: TaskContext, push) => {
        attempts.push([task.partition, task.attempt]);
        expect(task.stageName).toBe('effects');
        push(1);
        if (partition === 1 && task.attempt < 2) throw new Error('again');
      },
    });
    expect(await rdd.count()).toBe(2);
    expect(attempts.filter(([p]) => p === 0)).toEqual([[0, 0]]);
    expect(attempts.filter(([p]) => p === 1)).toEqual([
      [1, 0],
      [1, 1],
      [1, 2],
    ]);
  });

  it('passes on at once what another try cannot change, and tries again what was unavailable', async () => {
    for (const code of [
      'FENCED',
      'OPTION_INVALID',
      'DATA_LOSS',
      'CHECKPOINT_CORRUPT',
      'LIMIT_EXCEEDED',
      'INTERNAL',
    ] as const) {
      const error = new TidemarkError(code, 'stop');
      const rdd = newContext()
        .parallelize([1], 1)
        .map(failing(1, () => error));
      await expect(rdd.collect()).rejects.toBe(error);
      expect(await rdd.collect()).toEqual([1]);
    }
    const down = new TidemarkError('SOURCE_UNAVAILABLE', 'down');
    expect(
      await newContext()
        .parallelize([1], 1)
        .map(failing(3, () => down))
        .collect(),
    ).toEqual([1]);
    await expect(
      newContext()
        .parallelize([1], 1)
        .map(failing(4, () => down))
        .collect(),
    ).rejects.toBe(down);
  });

  it('starts no further task after a failure and waits for those under way', async () => {
    const log: string[] = [];
    const gate = Promise.withResolvers<void>();
    const context = newContext(1, { taskAttemptsMax: 1, concurrentTasksMax: 2 });
    const rdd = context.rdd<number>({
      name: 'mixed',
      numPartitions: 6,
      dependencies: [],
      pipe: async (partition) => {
        log.push(`start ${partition}`);
        if (partition === 0) {
          await gate.promise;
          log.push('end 0');
        } else {
          gate.resolve();
          throw new Error('failed');
        }
      },
    });
    await expect(rdd.count()).rejects.toMatchObject({ context: { partition: 1 } });
    expect(log).toEqual(['start 0', 'start 1', 'end 0']);
  });

  it('lets asynchronous partitions wait at the same time, within the bound', async () => {
    let open = 0;
    let most = 0;
    const rdd = newContext(1, { concurrentTasksMax: 3 }).rdd<number>({
      name: 'io',
      numPartitions: 9,
      dependencies: [],
      pipe: async (partition, _, push) => {
        most = Math.max(most, ++open);
        for (let i = 0; i < 5; i++) await Promise.resolve();
        push(partition);
        open--;
      },
    });
    expect(await rdd.collect()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(most).toBe(3);
  });

  it('stops with CANCELLED when the signal aborts', async () => {
    const abort = new AbortController();
    const started: number[] = [];
    const rdd = newContext(1, { signal: abort.signal }).rdd<number>({
      name: 'long',
      numPartitions: 5,
      dependencies: [],
      pipe: (partition, task) => {
        started.push(partition);
        if (partition === 2) abort.abort(new Error('stop requested'));
        if (task.signal.aborted) throw new Error('noticed');
      },
    });
    await expect(rdd.count()).rejects.toMatchObject({ code: 'CANCELLED', message: expect.stringContaining('"long"') });
    expect(started.length).toBe(3);
    await expect(rdd.count()).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('lets the event loop turn between tasks when it is time to', async () => {
    let nowMs = 0;
    let yields = 0;
    const turns = new Turns({ now: () => nowMs, yieldToLoop: () => Promise.resolve(yields++), stretchMsMax: 10 });
    const runner = new InProcessRunner({ concurrentTasksMax: 1, turns });
    const rdd = new RddContext({ runner }).parallelize([1, 2, 3, 4, 5, 6], 6).map((x) => {
      nowMs += 6;
      return x;
    });
    await rdd.count();
    expect(yields).toBe(3);
  });

  it('runs only the partitions it is asked for, results in that order', async () => {
    const context = newContext();
    const rdd = context.parallelize([10, 11, 12], 3);
    const run = context.runner.run(rdd, (partition) => partition, [2, 0]);
    expect(await run).toEqual([2, 0]);
  });

  it('runs jobs from inside a task', async () => {
    const rdd = newContext().parallelize([1, 2, 3], 2);
    let total = 0;
    await rdd.foreachPartition(async () => {
      const rows = await rdd.repartition(2).count();
      total += rows;
    });
    expect(total).toBe(6);
  });
});
