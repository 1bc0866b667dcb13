import { describe, expect, test } from 'vitest';
import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { Seconds } from '../../../src/base/time.ts';
import { type State, StateSpec } from '../../../src/dstream/map-with-state.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { difference, errorOf, type LifeOptions, Shelf, sum, TestStream } from './support.ts';

/** A program with one operator or input for every row of the table, each of which can be left out or changed. */
interface Parts {
  readonly totals?: boolean;
  readonly windowLength?: number;
  readonly numPartitions?: number;
  readonly secondSource?: boolean;
  readonly topicName?: string;
  readonly output?: boolean;
  readonly outputName?: string;
  readonly extra?: boolean;
  readonly dropped?: readonly string[];
}

class Program extends TestStream {
  readonly shelf = new Shelf();
  readonly seen = new Map<string, Map<number, Record<string, number>>>();

  define(parts: Parts = {}): (ssc: StreamingContext) => void {
    const { totals = true, windowLength = 4, numPartitions, secondSource = true, topicName = 'pairs' } = parts;
    return (ssc) => {
      for (const uid of parts.dropped ?? []) ssc.dropState(uid);
      const rows = ssc.sourceStream(topic(topicName).source(), { uid: 'pairs' });
      if (secondSource) ssc.sourceStream(topic('second').source(), { uid: 'second' }).count().print();
      if (totals) {
        const counted = rows.updateStateByKey((values, n: number | undefined) => (n ?? 0) + values.length, {
          uid: 'totals',
          numPartitions,
        });
        this.#look('totals', counted);
      }
      const windowed = rows.reduceByKeyAndWindow(sum, difference, Seconds(windowLength), Seconds(2), {
        uid: 'recent',
        numPartitions,
      });
      this.#look('recent', windowed);
      if (parts.output ?? true) {
        rows.map(([key]) => key).saveTo(this.shelf.sink(parts.outputName), { uid: 'keys-out' });
      }
      if (!parts.extra) return;
      rows
        .mapWithState(
          StateSpec.function((key: string, _value: number | undefined, state: State<number>) => {
            state.update((state.getOption() ?? 0) + 1);
            return [key, state.get()] as const;
          }),
          { uid: 'extra' },
        )
        .saveTo(this.shelf.sink('extra'), { uid: 'extra-out' });
    };
  }

  async run(parts: Parts, toSeconds: number, options: LifeOptions = {}): Promise<void> {
    const driven = await this.start(this.define(parts), options);
    await driven.runTo(toSeconds * 1000);
    await driven.stop();
  }

  /** The error a start ends with; asserts that it wrote nothing. */
  async refusal(
    parts: Parts,
    options: LifeOptions = {},
  ): Promise<{ readonly lines: string[]; readonly message: string }> {
    const driven = await this.open(this.define(parts), options);
    const before = this.store.operations.snapshot();
    const objects = await this.objects();
    const error = await errorOf(driven.context.start());
    const after = this.store.operations.snapshot();
    expect(error).toMatchObject({ code: 'CHECKPOINT_INCOMPATIBLE', kind: 'incompatible' });
    expect(after.put).toEqual(before.put);
    expect(after.delete).toEqual(before.delete);
    expect(await this.objects()).toEqual(objects);
    return { lines: error.message.split('\n'), message: error.message };
  }

  #look(name: string, stream: ReturnType<typeof Object> & { foreachRDD: (body: never) => void }): void {
    const times = this.seen.get(name) ?? new Map<number, Record<string, number>>();
    this.seen.set(name, times);
    const body = async (rdd: { collect(): Promise<[string, number][]> }, time: { milliseconds: number }) => {
      times.set(time.milliseconds / 1000, Object.fromEntries((await rdd.collect()).sort()));
    };
    stream.foreachRDD(body as never);
  }
}

function topic(name: string): MemoryTopic<readonly [string, number]> {
  const made = new MemoryTopic<readonly [string, number]>(name, 1);
  for (let t = 1; t <= 40; t++) made.send(t * 1000, 0, [`k${t % 2}`, 1]);
  return made;
}

describe('a program that does not fit its checkpoint is refused before anything is written', () => {
  test.each<[string, Parts, LifeOptions, RegExp]>([
    [
      'a stateful operator is gone',
      { totals: false },
      {},
      /^state 'totals' +\| updateStateByKey .*\| missing +\| .*uid 'totals'.*dropState\('totals'\)$/,
    ],
    [
      'a window has a length that its panes do not divide',
      { windowLength: 5 },
      {},
      /^state 'recent' +\| reduceByKeyAndWindow .*lengthMs=4000.*\| reduceByKeyAndWindow .*lengthMs=5000.*\| .*multiples of 2000 ms.*dropState\('recent'\)$/,
    ],
    [
      'a source is gone',
      { secondSource: false },
      {},
      /^source 'second' +\| memory-topic topic=second +\| missing +\| .*dropSource\('second'\)/,
    ],
    [
      'a source reads something else',
      { topicName: 'others' },
      {},
      /^source 'pairs' +\| memory-topic topic=pairs +\| memory-topic topic=others +\| .*another uid$/,
    ],
  ])('when %s', async (_what, parts, options, row) => {
    const program = new Program();
    await program.run({}, 3);
    const { lines } = await program.refusal(parts, options);
    expect(lines[0]).toBe('The program does not fit its checkpoint. Nothing was changed.');
    expect(lines[1]).toMatch(/^what +\| in the checkpoint +\| in the program +\| what to do$/);
    expect(lines).toHaveLength(4);
    expect(lines[3]).toMatch(row);
    // The program as it was still goes on.
    await program.run({}, 4);
  });

  test('with every difference in one table', async () => {
    const program = new Program();
    await program.run({}, 3);
    const { lines } = await program.refusal({ totals: false, windowLength: 5, secondSource: false });
    expect(lines.slice(3).map((line) => line.split(' |')[0]!.trim())).toEqual([
      "source 'second'",
      "state 'totals'",
      "state 'recent'",
    ]);
  });

  test.each<[string, Parts]>([
    ['is gone', { output: false }],
    ['writes elsewhere', { outputName: 'elsewhere' }],
  ])('when an output with committed and unpublished batches %s', async (_what, parts) => {
    const program = new Program();
    await program.run({}, 2);
    program.shelf.failPublish = new Error('disk full');
    await expect(program.run({}, 3)).rejects.toThrow('disk full');
    program.shelf.failPublish = undefined;
    const { lines } = await program.refusal(parts);
    expect(lines[3]).toMatch(
      /^output 'keys-out' +\| shelf shelf, with committed batches that are not published yet +\| (missing|shelf elsewhere) +\| start once with the output 'keys-out' as it was/,
    );
    await program.run({}, 4);
    expect([...program.shelf.published.keys()]).toEqual([1, 2, 3, 4].map((t) => `shelf@${t * 1000}`));
    await program.run(parts, 5);
  });
});

describe('what may change between starts', () => {
  test('functions, more operators with state, more outputs, settings, and the number of partitions', async () => {
    const plain = new Program();
    await plain.run({}, 12);
    const changing = new Program();
    await changing.run({}, 3);
    await changing.run({ numPartitions: 5 }, 6, { defaultParallelism: 7, taskAttemptsMax: 1 });
    await changing.run({ numPartitions: 1, extra: true }, 9);
    await changing.run({ extra: true }, 12, { checkpoint: { manifestEveryRecords: 2 } });
    expect(changing.seen).toEqual(plain.seen);
    expect(changing.shelf.published.get('extra@7000')).toEqual([['k1', 1]]);
    expect(changing.shelf.published.get('extra@12000')).toEqual([['k0', 3]]);
  });

  test('an output that has published everything may go', async () => {
    const program = new Program();
    await program.run({}, 3);
    await program.run({ output: false }, 4);
    expect(program.shelf.published.size).toBe(3);
  });
});

describe('dropState', () => {
  test('lets a program start without the operator, and with a new one of the same uid, which starts empty', async () => {
    const program = new Program();
    await program.run({}, 5, { checkpoint: { manifestEveryRecords: 3 } });
    await program.run({ totals: false, dropped: ['totals'] }, 6);
    await program.run({ totals: false }, 7);
    await program.run({}, 10);
    await program.run({}, 12);
    expect(program.seen.get('totals')!.get(5)).toEqual({ k0: 2, k1: 3 });
    expect(program.seen.get('totals')!.get(10)).toEqual({ k0: 2, k1: 1 });
    expect(program.seen.get('totals')!.get(12)).toEqual({ k0: 3, k1: 2 });
  });

  test.each([2, 3, 100])(
    'lets a window change its length, and restarts find its own state (a manifest every %i records)',
    async (manifestEveryRecords) => {
      const program = new Program();
      const options = { checkpoint: { manifestEveryRecords } };
      await program.run({}, 6, options);
      expect(program.seen.get('recent')!.get(6)).toEqual({ k0: 2, k1: 2 });
      await program.run({ windowLength: 6, dropped: ['recent'] }, 7, options);
      await program.run({ windowLength: 6 }, 8, options);
      expect(program.seen.get('recent')!.get(8)).toEqual({ k0: 1, k1: 1 });
      for (let t = 9; t <= 14; t++) await program.run({ windowLength: 6 }, t, options);
      expect(program.seen.get('recent')!.get(14)).toEqual({ k0: 3, k1: 3 });
    },
  );

  test('takes effect once: a program that still calls it keeps the new state', async () => {
    const program = new Program();
    await program.run({}, 4);
    const changed = { windowLength: 6, dropped: ['recent', 'totals'] };
    await program.run(changed, 8);
    expect(program.seen.get('totals')!.get(8)).toEqual({ k0: 2, k1: 2 });
    for (let t = 9; t <= 12; t++) await program.run(changed, t);
    expect(program.seen.get('totals')!.get(12)).toEqual({ k0: 4, k1: 4 });
    expect(program.seen.get('recent')!.get(12)).toEqual({ k0: 3, k1: 3 });
    // Changed beyond recognition once more.
    await program.run({ ...changed, windowLength: 5 }, 14);
    expect(program.seen.get('recent')!.get(14)).toEqual({ k0: 1, k1: 1 });
  });

  test.each<CrashPoint>(['recovery:fenced', 'recovery:sources-started', 'batch:staged', 'commit:before-record'])(
    'gives nothing up before a batch is committed: after a crash at %s the former program goes on as if it had not been',
    async (point) => {
      const program = new Program();
      await program.run({}, 4);
      const died = new Error('died');
      const crashHook = (at: CrashPoint): void => {
        if (at === point) throw died;
      };
      const changed = { windowLength: 5, totals: false, dropped: ['recent', 'totals'] };
      await expect(program.run(changed, 5, { crashHook })).rejects.toBe(died);
      // Without the calls the changed program is refused, as if it had never been started.
      const { lines } = await program.refusal({ windowLength: 5, totals: false });
      expect(lines.slice(3).map((line) => line.split(' |')[0]!.trim())).toEqual(["state 'recent'", "state 'totals'"]);
      await program.run({}, 8);
      expect(program.seen.get('totals')!.get(8)).toEqual({ k0: 4, k1: 4 });
      expect(program.seen.get('recent')!.get(8)).toEqual({ k0: 2, k1: 2 });
    },
  );

  test('is repeated by a start after a crash that still has the call', async () => {
    const program = new Program();
    await program.run({}, 4);
    const died = new Error('died');
    const changed = { dropped: ['totals'] };
    const crashHook = (at: CrashPoint): void => {
      if (at === 'batch:staged') throw died;
    };
    await expect(program.run(changed, 5, { crashHook })).rejects.toBe(died);
    await program.run(changed, 8);
    await program.run(changed, 10);
    expect(program.seen.get('totals')!.get(10)).toEqual({ k0: 3, k1: 3 });
  });

  test('is told of when the operator comes back', async () => {
    const program = new Program();
    await program.run({}, 4);
    await program.run({ totals: false, dropped: ['totals'] }, 6);
    await program.run({}, 7);
    expect(program.warnings).toEqual([
      "State 'totals' (updateStateByKey) starts empty: what it had was given up with dropState after batch 5.",
    ]);
    await program.run({}, 8);
    expect(program.warnings).toHaveLength(1);
  });

  test('of an operator that never was changes nothing', async () => {
    const program = new Program();
    await program.run({ dropped: ['no-such'] }, 3);
    await program.run({ dropped: ['no-such'] }, 6);
    expect(program.seen.get('totals')!.get(6)).toEqual({ k0: 3, k1: 3 });
  });
});
