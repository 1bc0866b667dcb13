import { describe, expect, it } from 'vitest';
import { type BlockingOperator, formatLoopBlocked, type LoopBlockedInfo } from '../../../src/base/loop-blocked.ts';
import { Turns } from '../../../src/base/turns.ts';
import { InProcessRunner } from '../../../src/rdd/in-process-runner.ts';
import { LoopWatch } from '../../../src/rdd/loop-watch.ts';
import type { RDD } from '../../../src/rdd/rdd.ts';
import { RddContext } from '../../../src/rdd/rdd-context.ts';

/** A context whose time only the functions of a program take. */
class Watched {
  ms = 0;
  readonly reports: LoopBlockedInfo[] = [];
  readonly watch: LoopWatch;
  readonly rdds: RddContext;

  constructor() {
    const now = (): number => this.ms;
    const report = (info: LoopBlockedInfo): void => void this.reports.push(info);
    this.watch = new LoopWatch({ thresholdMs: 200, now, clockMs: now, report });
    const turns = new Turns({ now, yieldToLoop: async () => {} });
    const runner = new InProcessRunner({ turns, watch: this.watch });
    this.rdds = new RddContext({ runner, turns, watch: this.watch, defaultParallelism: 2 });
  }

  /** Row 13 takes half a second. */
  readonly block = <T>(row: T): T => {
    this.ms += row === 13 ? 500 : 0.001;
    return row;
  };

  /** What a stream of the graph makes, in one batch. */
  made<T>(operator: string, streamId: number, make: () => RDD<T>): RDD<T> {
    const own: Pick<BlockingOperator, 'uid' | 'label'> = { uid: undefined, label: `the ${operator}` };
    this.rdds.origin = { operator, streamId, ...own, batchId: 7, batchTimeMs: 7000 };
    try {
      return make();
    } finally {
      this.rdds.origin = undefined;
    }
  }

  rows(): RDD<number> {
    return this.rdds.parallelize(
      Array.from({ length: 40 }, (_, i) => i),
      2,
    );
  }

  /** Operator and number of all reports so far. */
  get names(): string[][] {
    return this.reports.map(({ operators }) =>
      operators.map(({ operator, streamId = '' }) => `${operator}#${streamId}`),
    );
  }
}

describe('the watch over the event loop', () => {
  it('names the only operator of a stage at once, with batch, partition and time', async () => {
    const watched = new Watched();
    await watched.made('map', 3, () => watched.rows().map(watched.block)).collect();
    expect(watched.reports).toEqual([
      {
        operators: [{ operator: 'map', streamId: 3, uid: undefined, label: 'the map' }],
        batchId: 7,
        batchTimeMs: 7000,
        partition: 0,
        heldMs: expect.closeTo(500, 0),
      },
    ]);
    expect(formatLoopBlocked(watched.reports[0]!)).toContain(
      "A function of map (#3, 'the map') held up the event loop for 500 ms in partition 0 of batch 7 (7000 ms)",
    );
  });

  it('says nothing of work that leaves in time', async () => {
    const watched = new Watched();
    const slowly = (row: number): number => {
      watched.ms += 5;
      return row;
    };
    await watched.rows().map(slowly).filter(slowly).collect();
    watched.watch.batchEnded();
    expect(watched.reports).toEqual([]);
  });

  for (const slow of [1, 2, 3]) {
    it(`tells fused operators apart when it happens again: number ${slow}`, async () => {
      const watched = new Watched();
      const run = (id: number) => (id === slow ? watched.block : <T>(row: T): T => row);
      const job = (): Promise<unknown> => {
        const first = watched.made('map', 1, () => watched.rows().map(run(1)));
        const second = watched.made('map', 2, () => first.map(run(2)));
        return watched.made('filter', 3, () => second.filter((row) => run(3)(row) >= 0)).collect();
      };
      await job();
      expect(watched.reports).toEqual([]);
      await job();
      watched.watch.batchEnded();
      expect(watched.names).toEqual([[`${slow === 3 ? 'filter' : 'map'}#${slow}`]]);
    });
  }

  it('names all that may have been it when it does not happen again before the batch ends', async () => {
    const watched = new Watched();
    const first = watched.made('map', 1, () => watched.rows().map(watched.block));
    await watched.made('flatMap', 2, () => first.flatMap((x) => [x])).collect();
    watched.watch.batchEnded();
    watched.watch.batchEnded();
    expect(watched.names).toEqual([['flatMap#2', 'map#1']]);
    expect(formatLoopBlocked(watched.reports[0]!)).toContain(
      "one of flatMap (#2, 'the flatMap'), map (#1, 'the map') held",
    );
  });

  it('tells a function that combines before a shuffle from the operator in front of it', async () => {
    const watched = new Watched();
    const job = (): Promise<unknown> => {
      const pairs = watched.made('map', 1, () => watched.rows().map((x): [number, number] => [x % 3, x]));
      const add = (a: number, b: number): number => a + watched.block(b);
      return watched.made('reduceByKey', 2, () => pairs.reduceByKey(add)).collect();
    };
    await job();
    await job();
    watched.watch.batchEnded();
    expect(watched.names).toEqual([['reduceByKey#2']]);
  });

  it('names functions that get all rows at once, and actions', async () => {
    const watched = new Watched();
    const all = (rows: readonly number[]): readonly number[] => rows.map(watched.block);
    await watched.made('mapPartitions', 5, () => watched.rows().mapPartitions(all)).collect();
    await watched.rows().foreach((row) => void watched.block(row));
    await watched.rows().foreachPartition((rows) => void all(rows));
    await watched.rows().reduce((a, b) => a + watched.block(b));
    expect(watched.names).toEqual([['mapPartitions#5'], ['foreach#'], ['foreachPartition#'], ['reduce#']]);
  });

  it('hears of a slow row behind which an action had enough', async () => {
    const watched = new Watched();
    await watched.rows().map(watched.block).take(14);
    expect(watched.names).toEqual([['map#']]);
  });

  it('names an operator once a minute', async () => {
    const watched = new Watched();
    const job = (id: number): Promise<unknown> =>
      watched.made('map', id, () => watched.rows().map(watched.block)).collect();
    await job(1);
    await job(1);
    await job(2);
    expect(watched.names).toEqual([['map#1'], ['map#2']]);
    watched.ms += 60_000;
    await job(1);
    expect(watched.names).toEqual([['map#1'], ['map#2'], ['map#1']]);
  });

  it('finds the operator although tasks with many rows were profiled before it', async () => {
    const watched = new Watched();
    const many = watched.rdds.parallelize(
      Array.from({ length: 120_000 }, (_, i) => i),
      2,
    );
    const job = (): Promise<unknown> =>
      many
        .map(watched.block)
        .filter((row) => row >= 0)
        .count();
    await job();
    await job();
    watched.watch.batchEnded();
    expect(watched.names).toEqual([['map#']]);
  });

  it('profiles a stage for 20 tasks only, and gives the same rows meanwhile', async () => {
    const watched = new Watched();
    let slow = true;
    const sometimes = (x: number): number => (slow ? watched.block(x) : x);
    const job = (): Promise<unknown> =>
      watched
        .rows()
        .map(sometimes)
        .filter(sometimes)
        .map((x) => x + 1)
        .collect();
    const rows = await job();
    slow = false;
    for (let i = 0; i < 10; i++) expect(await job()).toEqual(rows);
    slow = true;
    await job();
    // The 21st task was not profiled: nobody knows more than before.
    expect(watched.reports).toEqual([]);
    watched.watch.batchEnded();
    expect(watched.names).toEqual([['map#', 'filter#']]);
  });
});
