import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { Turns } from '../../../src/base/turns.ts';
import { InProcessRunner } from '../../../src/rdd/in-process-runner.ts';
import type { RDD } from '../../../src/rdd/rdd.ts';
import { RddContext } from '../../../src/rdd/rdd-context.ts';
import { decodeRows } from '../../../src/workers/block-codec.ts';
import { type InThreadWorker, startInThread } from './in-thread-workers.ts';
import { buildLineage, someLineage } from './lineages.ts';

function inProcess(): RddContext {
  return new RddContext({ runner: new InProcessRunner(), random: new SeededRandom(7) });
}

/** Rows by partition, each read where it is at home. */
async function readAtHome(
  workers: readonly InThreadWorker[],
  build: (worker: InThreadWorker) => RDD<unknown>,
): Promise<unknown[][]> {
  const rdds = workers.map(build);
  await Promise.all(workers.map(({ runner }, i) => runner.prepare({ key: 'node', batchId: 1, rdd: rdds[i]! })));
  return Promise.all(
    Array.from({ length: rdds[0]!.numPartitions }, async (_, partition) => {
      const { blocks } = await workers[partition % workers.length]!.runner.read('node', partition);
      return blocks.flatMap((block) => decodeRows(block));
    }),
  );
}

async function onWorkers<R>(
  count: number,
  work: (workers: readonly InThreadWorker[], all: ReturnType<typeof startInThread>['all']) => Promise<R>,
): Promise<R> {
  const started = startInThread(count);
  try {
    return await work(started.workers, started.all);
  } finally {
    started.close();
  }
}

describe('jobs on several workers give what one thread gives', () => {
  test('any lineage: the same rows in the same order in every partition', async () => {
    await fc.assert(
      fc.asyncProperty(someLineage, fc.integer({ min: 1, max: 3 }), async (lineage, count) => {
        const expected = await buildLineage(inProcess(), lineage).collectPartitions();
        const found = await onWorkers(count, (workers) =>
          readAtHome(workers, ({ rdds }) => buildLineage(rdds, lineage)),
        );
        expect(found).toEqual(expected);
      }),
      { numRuns: 300, seed: 11, interruptAfterTimeLimit: 15_000 },
    );
  }, 60_000);

  test('an action gives all results to all workers, one action after the other', async () => {
    const lineage = (rdds: RddContext): RDD<readonly [string, number]> =>
      rdds
        .fromPartitions([[1, 2], [3], [], [4, 5, 6]])
        .map((n): [string, number] => [n % 2 === 0 ? 'even' : 'odd', n])
        .reduceByKey((a, b) => a + b, 3);
    const results = await onWorkers(3, (_, all) =>
      Promise.all(
        all(async ({ rdds }) => {
          const rdd = lineage(rdds);
          const count = await rdd.count();
          return [count, await rdd.collectAsMap(), await rdd.first()];
        }),
      ),
    );
    const rdd = lineage(inProcess());
    const expected = [await rdd.count(), await rdd.collectAsMap(), await rdd.first()];
    expect(results).toEqual([expected, expected, expected]);
  });
});

test('a sort sends every row to one worker, and of the keys only a sample to all', async () => {
  const rows = Array.from({ length: 24_000 }, (_, i) => ({ key: (i * 7919) % 24_000, text: 'x'.repeat(60) }));
  const sort = (rdds: RddContext): RDD<unknown> =>
    rdds.fromPartitions([0, 1, 2, 3, 4, 5].map((p) => rows.slice(p * 4000, (p + 1) * 4000))).sortBy(({ key }) => key);
  const expected = await sort(inProcess()).collectPartitions();
  expect(expected.flat()).toEqual(rows.toSorted((a, b) => a.key - b.key));
  for (const part of expected) expect(part.length).toBeGreaterThan(3000);

  const [found, sent] = await onWorkers(3, async (workers) => [
    await readAtHome(workers, ({ rdds }) => sort(rdds)),
    workers.reduce((sum, { sentBytes }) => sum + sentBytes(), 0),
  ]);
  expect(found).toEqual(expected);
  // Two of three rows change worker; each is more than 70 bytes with its key.
  const whole = rows.length * 70;
  expect(sent).toBeGreaterThan(whole / 2);
  expect(sent).toBeLessThan(whole);
});

describe('others have their turn', () => {
  const rowMs = 0.5;
  /** Work takes time on a clock of the worker's own; its turns are counted. */
  class WorkClock {
    ms = 0;
    turned = 0;
    readonly turns = new Turns({
      now: () => this.ms,
      yieldToLoop: async () => {
        this.turned += 1;
      },
    });
  }
  const clocks = (): WorkClock[] => [new WorkClock(), new WorkClock()];
  const pairs = (rdds: RddContext): RDD<readonly [string, number]> =>
    rdds.fromPartitions([0, 1].map((p) => Array.from({ length: 1000 }, (_, i) => [`${p}-${i}`, i] as const)));

  test('while rows are computed for another worker, and while that takes them', async () => {
    const [reader, home] = clocks();
    const { workers, close } = startInThread(2, (worker) => [reader!, home!][worker]!.turns);
    try {
      await readAtHome(workers, ({ rdds, index }) =>
        pairs(rdds)
          .reduceByKey((a, b) => a + b, 2)
          .map((row) => {
            if (index === 1) home!.ms += rowMs;
            return row;
          })
          .coalesce(1)
          .map((row) => {
            if (index === 0) reader!.ms += rowMs;
            return row;
          }),
      );
    } finally {
      close();
    }
    // A stretch is eight milliseconds; the home computes about a half of 2,000 rows, the reader takes all.
    expect(home!.turned).toBeGreaterThan(900 * (rowMs / 32));
    expect(reader!.turned).toBeGreaterThan(2000 * (rowMs / 32));
  });

  test('while rows are computed again', async () => {
    const [clock, other] = clocks();
    let failures = 1;
    let tries = 0;
    let turnedBefore = 0;
    const { workers, close } = startInThread(2, (worker) => [clock!, other!][worker]!.turns);
    try {
      await readAtHome(workers, ({ rdds, index }) =>
        pairs(rdds)
          .map(([key, value]) => {
            if (index === 0) {
              tries += 1;
              clock!.ms += rowMs;
            }
            return [key.slice(2), value] as [string, number];
          })
          .reduceByKey((a, b) => {
            if (index === 0 && failures-- === 1) {
              turnedBefore = clock!.turned;
              throw new Error('half merged');
            }
            return a + b;
          }, 2),
      );
    } finally {
      close();
    }
    expect(tries).toBe(2000);
    expect(clock!.turned - turnedBefore).toBeGreaterThan(1000 * (rowMs / 32));
  });
});

describe('failures', () => {
  test('of one worker are the failure of all, with code, stage, partition and worker', async () => {
    const outcomes = await onWorkers(2, (_, all) =>
      Promise.allSettled(
        all(({ rdds }) =>
          rdds
            .fromPartitions([[1], [2], [3], [4]])
            .map((n): [number, number] => {
              if (n > 2) throw new RangeError(`no ${n}`);
              return [n, n];
            })
            .reduceByKey((a, b) => a + b, 2)
            .collect(),
        ),
      ),
    );
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: {
          code: 'TASK_FAILED',
          context: { stageName: 'map', partition: 2, worker: 0 },
          cause: { name: 'RangeError' },
        },
      });
    }
  });

  test('of a task are tried again on its worker alone, and its updates count once', async () => {
    const tries = [0, 0];
    const [sums] = await onWorkers(2, async (_, all) => {
      const found = await Promise.all(
        all(async ({ rdds, index, runner }) => {
          const seen = rdds.longAccumulator('seen');
          const rows = rdds.fromPartitions([[1], [2], [3], [4]]).map((n): [number, number] => {
            seen.add(1);
            if (n === 2 && (tries[index] = tries[index]! + 1) < 3) throw new Error('not yet');
            return [n % 2, n];
          });
          const reduced = rows.reduceByKey((a, b) => a + b, 2);
          await runner.prepare({ key: 'node', batchId: 1, rdd: reduced });
          return { updates: runner.takeUpdates() };
        }),
      );
      return [found.flatMap(({ updates }) => updates)];
    });
    expect(tries).toEqual([0, 3]);
    expect(sums!.map(([accumulator, update]) => [accumulator, (update as { count: number }).count])).toEqual([
      [0, 1],
      [0, 1],
      [0, 1],
      [0, 1],
    ]);
  });

  test('in merging what came from another worker are repaired from its bytes and own rows', async () => {
    const failures = { left: 2 };
    const found = await onWorkers(2, (workers) =>
      readAtHome(workers, ({ rdds }) =>
        rdds
          .fromPartitions([
            [1, 2],
            [3, 4],
            [5, 6],
            [7, 8],
          ])
          .map((n): [string, number[]] => [n % 2 === 0 ? 'even' : 'odd', [n]])
          .reduceByKey((a, b) => {
            a.push(...b);
            if (a.length === 3 && failures.left-- > 0) throw new Error('half merged');
            return a;
          }, 2),
      ),
    );
    expect(new Map(found.flat() as [string, number[]][])).toEqual(
      new Map([
        ['odd', [1, 3, 5, 7]],
        ['even', [2, 4, 6, 8]],
      ]),
    );
    expect(failures.left).toBeLessThan(0);
  });

  test('rows that would arrive as something else are refused with the operator', async () => {
    class Point {
      readonly x = 1;
    }
    const [outcome] = await onWorkers(2, (_, all) =>
      Promise.allSettled(
        all(({ rdds }) =>
          rdds
            .fromPartitions([[new Point(), new Point()], []])
            .repartition(2)
            .count(),
        ),
      ),
    );
    expect(outcome).toMatchObject({ reason: { code: 'VALUE_UNSUPPORTED', context: { operator: 'repartition' } } });
  });

  test('an action inside a task is refused', async () => {
    const [outcome] = await onWorkers(2, (_, all) =>
      Promise.allSettled(
        all(({ rdds }) => {
          const other = rdds.fromPartitions([[1]]);
          return rdds.fromPartitions([[1]]).foreachPartition(async () => {
            await other.count();
          });
        }),
      ),
    );
    expect(outcome).toMatchObject({ reason: { code: 'GRAPH_INVALID' } });
  });

  test('workers whose programs differ find out', async () => {
    const outcomes = await onWorkers(2, (_, all) =>
      Promise.allSettled(
        all(({ rdds, index }) =>
          rdds
            .fromPartitions([[1], [2]])
            .map((n): [number, number] => [n, 1])
            .reduceByKey((a, b) => a + b, 2 + index)
            .map(([n]) => n)
            .repartition(2)
            .count(),
        ),
      ),
    );
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: 'WORKERS_DIVERGED' } });
  });
});
