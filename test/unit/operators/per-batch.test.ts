import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DStream, HashPartitioner, Milliseconds, Seconds, StreamingContext, Time } from '../../../src/index.ts';
import { SeededRandom } from '../../../src/testing.ts';
import { CaseSource } from '../../conformance/support/case-source.ts';
import { collectInto, runFor, simpleStream } from '../../conformance/support/simple-stream.ts';
import { inSourceOrder, type Pair, runBatches, someBatches, sorted } from '../dstream/run-batches.ts';

const add = (a: number, b: number): number => a + b;

describe('per batch', () => {
  test('countByValue, combineByKey and outer joins equal what arrays give', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, fc.boolean(), async (batches, mapSideCombine) => {
        const partitions = new HashPartitioner(3);
        const { counts, combined, left, right, full } = await runBatches(batches, (rows) => {
          const small = rows.filter(([, value]) => value < 0);
          const large = rows.filter(([, value]) => value >= 0).mapValues(String);
          const create = (value: number): number[] => [value];
          const mergeValue = (list: number[], value: number): number[] => [...list, value];
          const mergeCombiners = (a: number[], b: number[]): number[] => [...a, ...b];
          return {
            counts: rows.map(([key]) => key).countByValue(partitions),
            combined: rows.combineByKey({ create, mergeValue, mergeCombiners, mapSideCombine }, partitions),
            left: small.leftOuterJoin(large),
            right: small.rightOuterJoin(large, 2),
            full: small.fullOuterJoin(large, partitions),
          };
        });
        batches.forEach((batch, i) => {
          const rows = inSourceOrder(batch);
          const keys = [...new Set(rows.map(([key]) => key))];
          const valuesOf = (key: string, keep: (value: number) => boolean): number[] =>
            rows.filter(([name, value]) => name === key && keep(value)).map(([, value]) => value);
          const t = i + 1;
          expect(sorted(counts!.get(t))).toEqual(sorted(keys.map((key) => [key, valuesOf(key, () => true).length])));
          expect(sorted(combined!.get(t))).toEqual(sorted(keys.map((key) => [key, valuesOf(key, () => true)])));
          const joined = (keepLeft: boolean, keepRight: boolean): unknown[] =>
            keys.flatMap((key) => {
              const ours: unknown[] = valuesOf(key, (value) => value < 0);
              const theirs: unknown[] = valuesOf(key, (value) => value >= 0).map(String);
              if (ours.length === 0 && keepRight) ours.push(undefined);
              if (theirs.length === 0 && keepLeft) theirs.push(undefined);
              return ours.flatMap((v) => theirs.map((w) => [key, [v, w]]));
            });
          expect(sorted(left!.get(t))).toEqual(sorted(joined(true, false)));
          expect(sorted(right!.get(t))).toEqual(sorted(joined(false, true)));
          expect(sorted(full!.get(t))).toEqual(sorted(joined(true, true)));
        });
      }),
      { numRuns: 30 },
    );
  });

  test('union and transform of several streams see the RDDs in the order of the streams', async () => {
    const batches: Pair[][] = [
      [
        ['a', 1],
        ['b', 2],
      ],
    ];
    const { union, transformed } = await runBatches(batches, (rows, ssc) => {
      const doubled = rows.mapValues((value) => value * 2);
      const names = rows.map(([key]) => key);
      return {
        union: ssc.union([rows, doubled, rows]),
        transformed: ssc.transform([names, rows], ([first, second], time) =>
          first.zipWithIndex().union(second.map(([key, value]): [string, number] => [`${key}@${time}`, value])),
        ),
      };
    });
    expect(union!.get(1)).toEqual([
      ['a', 1],
      ['b', 2],
      ['a', 2],
      ['b', 4],
      ['a', 1],
      ['b', 2],
    ]);
    expect(transformed!.get(1)).toEqual([
      ['a', 0],
      ['b', 1],
      ['a@1000 ms', 1],
      ['b@1000 ms', 2],
    ]);
  });

  test('foreachPartition gets every partition with the identity of its batch', async () => {
    const seen: unknown[] = [];
    const stream = await simpleStream([[1, 2, 3, 4]], (rows) => {
      rows.foreachPartition((part, { batchId, batchTime, generation, partition }) => {
        seen.push([part, batchId, batchTime.milliseconds, generation, partition]);
      });
    });
    await runFor(stream, 1);
    expect(seen).toEqual([
      [[1, 2], 2, 1000, 0, 0],
      [[3, 4], 2, 1000, 0, 1],
    ]);
  });

  test('what combines streams of several contexts, slides, or none at all is refused', async () => {
    await simpleStream<number>([], (rows, ssc) => {
      const other = new StreamingContext({ appName: 'other', batchInterval: Seconds(1) });
      const foreign = other.sourceStream(new CaseSource<number>([], 1));
      const slower = rows.window(Seconds(2), Seconds(2));
      expect(() => ssc.union([])).toThrow('at least one stream');
      expect(() => ssc.union([rows, foreign])).toThrow('different contexts');
      expect(() => ssc.transform([rows, slower], ([a]) => a)).toThrow('different slide durations');
    });
  });
});

describe('mapAsync and filterAsync', () => {
  test('keep the order of rows, and at most `concurrency` calls wait at a time', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(50), { maxLength: 60 }),
        fc.integer({ min: 1, max: 9 }),
        async (input, concurrency) => {
          const waiting: (() => void)[] = [];
          let most = 0;
          const random = new SeededRandom(1);
          // Answers come in any order: one at random, whenever the event loop turns.
          const answer = (): void => {
            waiting.splice(Math.floor(random.next() * waiting.length), 1)[0]?.();
            if (waiting.length > 0) setImmediate(answer);
          };
          const slow = async (x: number): Promise<number> => {
            most = Math.max(
              most,
              waiting.push(() => {}),
            );
            waiting.pop();
            await new Promise<void>((resolve) => {
              waiting.push(resolve);
              most = Math.max(most, waiting.length);
              if (waiting.length === 1) setImmediate(answer);
            });
            return x * 2;
          };
          const seen: number[][] = [];
          const stream = await simpleStream(
            [input],
            (rows) => {
              collectInto(
                rows.mapAsync(slow, { concurrency }).filterAsync(async (x) => x % 4 === 0),
                seen,
              );
            },
            { numPartitions: 1 },
          );
          await runFor(stream, 1);
          expect(seen).toEqual([input.map((x) => x * 2).filter((x) => x % 4 === 0)]);
          expect(most).toBeLessThanOrEqual(concurrency);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('a function that never waits is called row after row without a turn of the event loop', async () => {
    const log: string[] = [];
    const stream = await simpleStream(
      [[1, 2, 3]],
      (rows) => {
        rows
          .mapAsync((x) => {
            if (x === 1) queueMicrotask(() => log.push('turn'));
            log.push(`row ${x}`);
            return x;
          })
          .foreachRDD(async (rdd) => void (await rdd.count()));
      },
      { numPartitions: 1 },
    );
    await runFor(stream, 1);
    expect(log).toEqual(['row 1', 'row 2', 'row 3', 'turn']);
  });

  test('a failed call starts no further ones; the task is tried again and then its batch fails', async () => {
    let calls = 0;
    const stream = await simpleStream(
      [[1, 2, 3, 4, 5, 6]],
      (rows) => {
        rows
          .mapAsync(
            async (x) => {
              calls += 1;
              if (x === 1) throw new Error('no answer');
              return x;
            },
            { concurrency: 2 },
          )
          .foreachRDD(async (rdd) => void (await rdd.count()));
      },
      { numPartitions: 1, taskAttemptsMax: 2 },
    );
    await stream.ssc.start();
    await expect(stream.driven.runTo(1000)).rejects.toThrow('no answer');
    expect(calls).toBe(4);
  });

  test.each([0, -1, 1.5])('a concurrency of %d is refused', async (concurrency) => {
    await simpleStream<number>([], (rows) => {
      expect(() => rows.mapAsync((x) => x, { concurrency })).toThrow('mapAsync: concurrency');
    });
  });
});

describe('a batch without a data set', () => {
  test('has no RDD behind operators on rows; state and windows see no new data', async () => {
    const batches = [null, [['a', 1]], null, [['b', 2]]] as (readonly Pair[] | null)[];
    const seen: Record<string, [number, unknown[]][]> = { rows: [], mapped: [], state: [], window: [], counts: [] };
    const watch = <T>(name: string, stream: DStream<T>): void =>
      stream.foreachRDD(async (rdd, time) => {
        seen[name]!.push([time.milliseconds / 1000, sorted(await rdd.collect())!]);
      });
    const stream = await simpleStream<Pair>(batches, (rows) => {
      watch('rows', rows);
      watch('mapped', rows.mapValues((value) => value + 1).reduceByKey(add));
      watch(
        'state',
        rows.updateStateByKey<string, number, number>((values, n) => (n ?? 0) + values.length),
      );
      watch('window', rows.reduceByKeyAndWindow(add, Seconds(2)));
      watch('counts', rows.countByWindow(Seconds(3)));
    });
    await runFor(stream, 4);
    expect(seen).toEqual({
      rows: [
        [2, [['a', 1]]],
        [4, [['b', 2]]],
      ],
      mapped: [
        [2, [['a', 2]]],
        [4, [['b', 3]]],
      ],
      // Nothing to apply the function to, and no data set: none here either. Later it is applied to what there is.
      state: [
        [2, [['a', 1]]],
        [3, [['a', 1]]],
        [
          4,
          [
            ['a', 1],
            ['b', 1],
          ],
        ],
      ],
      window: [
        [1, []],
        [2, [['a', 1]]],
        [3, [['a', 1]]],
        [4, [['b', 2]]],
      ],
      counts: [
        [1, []],
        [2, [1]],
        [3, [1]],
        [4, [2]],
      ],
    });
  });

  test.each([
    ['union', (rows: DStream<Pair>) => rows.union(rows)],
    ['transform', (rows: DStream<Pair>) => rows.transform((rdd) => rdd)],
    ['transformWith', (rows: DStream<Pair>) => rows.transformWith(rows, (a) => a)],
    ['join', (rows: DStream<Pair>) => rows.join(rows)],
  ])('fails %s', async (operator, apply) => {
    const stream = await simpleStream<Pair>([null], (rows) => apply(rows).foreachRDD(() => {}));
    await stream.ssc.start();
    await expect(stream.driven.runTo(1000)).rejects.toMatchObject({
      code: 'GRAPH_INVALID',
      message: expect.stringContaining(`${operator}: could not generate an RDD from the parent`),
    });
  });
});

test('broadcast values and accumulators are made before the start and used in its functions', async () => {
  let sum = 0;
  const stream = await simpleStream([[1, 2], [3]], (rows, ssc) => {
    const factors = ssc.rdds.broadcast({ weight: 10 });
    const counter = ssc.rdds.longAccumulator('weighed');
    rows
      .map((x) => x * factors.value.weight)
      .foreachRDD(async (rdd) => {
        await rdd.foreach((x) => counter.add(x));
        sum = counter.value;
      });
  });
  await runFor(stream, 2);
  expect(sum).toBe(60);
});

describe('persist, remember and slice', () => {
  test('a persisted or checkpointed stream computes its rows once for several outputs, an ordinary one for each', async () => {
    const calls = { persisted: 0, checkpointed: 0, plain: 0 };
    const stream = await simpleStream([[1, 2], [3]], (rows) => {
      const count = (name: keyof typeof calls) => (x: number) => {
        calls[name] += 1;
        return x;
      };
      const persisted = rows.map(count('persisted')).cache();
      const checkpointed = rows.map(count('checkpointed')).checkpoint(Seconds(5));
      expect(() => rows.checkpoint(Milliseconds(1500))).toThrow('checkpoint: the interval of 1500 ms');
      const plain = rows.map(count('plain'));
      for (let i = 0; i < 3; i++) {
        persisted.foreachRDD(async (rdd) => void (await rdd.count()));
        checkpointed.foreachRDD(async (rdd) => void (await rdd.count()));
        plain.foreachRDD(async (rdd) => void (await rdd.count()));
      }
    });
    await runFor(stream, 2);
    expect(calls).toEqual({ persisted: 3, checkpointed: 3, plain: 9 });
  });

  test('slice gives remembered batches, floored and both ends included, of windows and state too', async () => {
    let rows!: DStream<Pair>;
    let slow!: DStream<Pair>;
    let states!: DStream<[string, number]>;
    const batches: Pair[][] = [[['a', 1]], [['a', 2]], [['a', 3]], [['a', 4]], [['a', 5]]];
    const stream = await simpleStream<Pair>(batches, (source, ssc) => {
      ssc.remember(Seconds(4));
      expect(() => ssc.remember(Seconds(4))).toThrow('call remember() once');
      rows = source;
      slow = source.window(Seconds(2), Seconds(2));
      states = source.updateStateByKey<string, number, number>((values, n) => values.reduce(add, n ?? 0));
      slow.foreachRDD(() => {});
      states.foreachRDD(() => {});
    });
    await stream.ssc.start();
    await stream.driven.runTo(5000);
    const values = async (source: DStream<Pair | [string, number]>, from: number, to: number): Promise<number[][]> =>
      Promise.all(
        source.slice(new Time(from), new Time(to)).map(async (rdd) => (await rdd.collect()).map(([, v]) => v)),
      );
    expect(await values(rows, 2000, 4999)).toEqual([[2], [3], [4]]);
    expect(await values(slow, 3999, 5000)).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect(await values(states, 3000, 5000)).toEqual([[6], [10], [15]]);
    expect(() => rows.slice(new Time(1000), new Time(2000))).toThrow('not remembered');
    expect(() => rows.slice(new Time(5000), new Time(6000))).toThrow('not remembered');
    await stream.driven.stop();
  });

  test('nothing is added to or changed in a running program', async () => {
    let rows!: DStream<Pair>;
    const stream = await simpleStream<Pair>([], (source) => {
      rows = source;
      source.name('the rows').foreachRDD(() => {});
    });
    const { ssc } = stream;
    await ssc.start();
    const invalid = expect.objectContaining({ code: 'STATUS_INVALID' });
    for (const change of [
      () => rows.persist(),
      () => rows.checkpoint(Seconds(1)),
      () => rows.cache(),
      () => rows.name('others'),
      () => ssc.remember(Seconds(1)),
      () => ssc.union([rows, rows]),
      () => rows.countByWindow(Seconds(1)),
      () => rows.foreachPartition(() => {}),
      () => rows.saveAsTextFiles('memory:never/out'),
    ]) {
      expect(change).toThrow(invalid);
    }
    expect(rows.node.label).toBe('the rows');
    await stream.driven.stop();
  });

  test('windows without an inverse run without a checkpoint', async () => {
    const seen: number[][] = [];
    const stream = await simpleStream<Pair>(
      [[['a', 1]], [['a', 2]]],
      (rows) => {
        const length = Seconds(2);
        collectInto(
          rows.window(length).map(([, value]) => value),
          seen,
        );
        collectInto(
          rows.reduceByKeyAndWindow(add, length).map(([, value]) => value),
          seen,
        );
      },
      { hasCheckpoint: false },
    );
    await runFor(stream, 2);
    expect(seen).toEqual([[1], [1], [1, 2], [3]]);
  });
});
