import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { Milliseconds, Seconds } from '../../../src/base/time.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { difference, sum } from '../engine/support.ts';
import { Deployed, everySecond, type Seen } from './support.ts';

/** What one deploy says about time, in seconds. */
interface Clockwork {
  readonly interval: number;
  readonly length: number;
  readonly slide: number;
}

const kinds = ['inverse', 'folded', 'grouped', 'raw'] as const;
type Kind = (typeof kinds)[number];

class Windows extends Deployed {
  readonly results = new Map<Kind, Seen>(kinds.map((kind) => [kind, new Map()]));

  define({ length, slide }: Clockwork): (ssc: StreamingContext) => void {
    return (ssc) => {
      const rows = ssc.sourceStream(everySecond(90).source(), { uid: 'pairs' });
      const [long, every] = [Seconds(length), Seconds(slide)];
      const filter = ([, value]: readonly [string, number]): boolean => value !== 0;
      const inverse = rows.reduceByKeyAndWindow(sum, difference, long, every, { uid: 'inverse', filter });
      this.look(inverse, this.results.get('inverse')!);
      this.look(rows.reduceByKeyAndWindow(sum, long, every, { uid: 'folded' }), this.results.get('folded')!);
      const grouped = rows.groupByKeyAndWindow(long, every, { uid: 'grouped' });
      this.look(
        grouped.mapValues((values) => values.reduce(sum, 0)),
        this.results.get('grouped')!,
      );
      this.look(rows.window(long, every, { uid: 'raw' }).reduceByKey(sum), this.results.get('raw')!);
    };
  }

  async deploy(clockwork: Clockwork, toSeconds: number): Promise<void> {
    await this.run(this.define(clockwork), toSeconds, { batchInterval: Seconds(clockwork.interval) });
  }
}

/** The sums of the rows whose batch lies in (from, to]. */
function sums(batchOf: (t: number) => number, from: number, to: number): Record<string, number> {
  const expected: Record<string, number> = {};
  for (let t = 1; t <= 90; t++) {
    const batch = batchOf(t);
    if (batch > from && batch <= to) expected[`k${t % 2}`] = (expected[`k${t % 2}`] ?? 0) + t;
  }
  return expected;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
const nextAfter = (t: number, step: number): number => (Math.floor(t / step) + 1) * step;

describe('another window length, slide or batch interval', () => {
  const clockwork = fc
    .record({
      interval: fc.constantFrom(1, 2, 3),
      lengths: fc.integer({ min: 1, max: 5 }),
      slides: fc.integer({ min: 1, max: 3 }),
    })
    .map(({ interval, lengths, slides }) => ({ interval, length: lengths * interval, slide: slides * interval }));

  test('goes on with the panes there are, or is refused when they do not fit', async () => {
    let [fitted, refused] = [0, 0];
    const property = fc.asyncProperty(
      clockwork,
      clockwork,
      fc.integer({ min: 3, max: 8 }),
      async (before, after, batches) => {
        const stream = new Windows();
        const redeployedAt = batches * before.interval;
        await stream.deploy(before, redeployedAt);
        const pane = gcd(before.length, before.slide);
        if (after.length % pane !== 0 || after.slide % pane !== 0) {
          refused += 1;
          const table = await stream.refusal(stream.define(after), { batchInterval: Seconds(after.interval) });
          const rows = table.split('\n').slice(3);
          expect(rows.map((row) => row.slice(0, 16).trim())).toEqual([
            "state 'inverse'",
            "state 'folded'",
            "state 'grouped'",
          ]);
          for (const row of rows)
            expect(row).toContain(`choose a length and a slide that are multiples of ${pane * 1000} ms`);
          return;
        }
        fitted += 1;
        const endsAt = redeployedAt + 24;
        await stream.deploy(after, endsAt);
        const batchOf = (t: number): number => {
          const old = Math.ceil(t / before.interval) * before.interval;
          return old <= redeployedAt ? old : Math.ceil(t / after.interval) * after.interval;
        };
        const lastSlide = Math.floor(redeployedAt / before.slide) * before.slide;
        for (const kind of kinds) {
          // What the former program had let go is not there for a longer window.
          const lost = (kind === 'raw' ? redeployedAt : lastSlide) - before.length;
          for (let t = nextAfter(redeployedAt, after.slide); t <= endsAt; t += after.slide) {
            const found = stream.results.get(kind)!.get(t);
            expect(found, `${kind} at ${t} s`).toEqual(sums(batchOf, Math.max(lost, t - after.length), t));
          }
        }
      },
    );
    await fc.assert(property, { numRuns: 60 });
    expect(Math.min(fitted, refused)).toBeGreaterThan(0);
  });

  test('is found again by the next restart as it was taken on', async () => {
    const stream = new Windows();
    await stream.deploy({ interval: 1, length: 6, slide: 2 }, 7);
    // Panes stay 2 s wide where 4 s would do for a new stream.
    const after = { interval: 1, length: 12, slide: 4 };
    for (const t of [9, 10, 13, 17, 20]) await stream.deploy(after, t);
    await stream.deploy({ interval: 1, length: 10, slide: 2 }, 22);
    for (const kind of kinds) expect(stream.results.get(kind)!.get(22), kind).toEqual(sums((t) => t, 12, 22));
    const { stateful } = (await stream.status()).graph as {
      stateful: { uid: string; parameters: { paneMs: number } }[];
    };
    expect(stateful.map(({ uid, parameters }) => [uid, parameters.paneMs])).toEqual([
      ['inverse', 2000],
      ['folded', 2000],
      ['grouped', 2000],
      ['raw', 1000],
    ]);
  });

  test('is told of at the start', async () => {
    const stream = new Windows(500);
    await stream.deploy({ interval: 1, length: 4, slide: 2 }, 7);
    await stream.deploy({ interval: 3, length: 6, slide: 6 }, 9);
    expect(stream.warnings).toEqual([
      'The batch interval is 3000 ms and was 1000 ms: batches end at multiples of it after 0, the first of them at 9000.',
      "State 'inverse' (reduceByKeyAndWindow) goes on with other parameters: inverse=1 lengthMs=6000 paneMs=2000 slideMs=6000, was inverse=1 lengthMs=4000 paneMs=2000 slideMs=2000.",
      "State 'folded' (reduceByKeyAndWindow) goes on with other parameters: inverse=0 lengthMs=6000 paneMs=2000 slideMs=6000, was inverse=0 lengthMs=4000 paneMs=2000 slideMs=2000.",
      "State 'grouped' (groupByKeyAndWindow) goes on with other parameters: inverse=0 lengthMs=6000 paneMs=2000 slideMs=6000, was inverse=0 lengthMs=4000 paneMs=2000 slideMs=2000.",
      "State 'raw' (window) goes on with other parameters: lengthMs=6000 paneMs=1000 slideMs=6000, was lengthMs=4000 paneMs=1000 slideMs=2000.",
    ]);
  });
});

describe('a changed batch interval', () => {
  const counting = (times: [number, number][]) => (ssc: StreamingContext) =>
    ssc.sourceStream(everySecond().source(), { uid: 'pairs' }).foreachRDD(async (rdd, time) => {
      times.push([time.milliseconds, await rdd.count()]);
    });

  test('keeps zero time: the first batch ends at the next multiple of the new interval, and nothing is read twice', async () => {
    const stream = new Deployed(1000);
    const times: [number, number][] = [];
    await stream.run(counting(times), 4);
    await stream.run(counting(times), 11, { batchInterval: Seconds(5) });
    await stream.run(counting(times), 12.5, { batchInterval: Milliseconds(500) });
    expect(times).toEqual([
      [2000, 2],
      [3000, 1],
      [4000, 1],
      [6000, 2],
      [11_000, 5],
      [11_500, 0],
      [12_000, 1],
      [12_500, 0],
    ]);
    expect((await stream.status()).zeroTimeMs).toBe(1000);
  });

  test('waits for a recorded plan that has not run: its batch time must be on the new grid', async () => {
    const stream = new Deployed();
    const times: [number, number][] = [];
    const died = new Error('died');
    const crashHook = (at: CrashPoint): void => {
      if (at === 'batch:plan-recorded' && stream.clock.now() === 3000) throw died;
    };
    await expect(stream.run(counting(times), 4, { crashHook })).rejects.toBe(died);
    expect(await stream.refusal(counting(times), { batchInterval: Seconds(2) })).toBe(
      [
        'The program does not fit its checkpoint. Nothing was changed.',
        'what           | in the checkpoint                                                | in the program | what to do',
        '---------------+------------------------------------------------------------------+----------------+-------------------------------------------------------------------------------',
        'batch interval | 1000 ms, and a plan for the batch of 3000 ms that must run first | 2000 ms        | run that batch: start once with 1000 ms (planAhead: false) and stop gracefully',
      ].join('\n'),
    );
    // 500 ms divide 3000: the plan runs at its time.
    await stream.run(counting(times), 3.5, { batchInterval: Milliseconds(500) });
    expect(times.slice(-2)).toEqual([
      [3000, 1],
      [3500, 0],
    ]);
  });

  test('keeps timeouts as they are', async () => {
    const stream = new Deployed();
    const { StateSpec } = await import('../../../src/dstream/map-with-state.ts');
    const spec = StateSpec.function<string, number, number, string>((key, value, state) => {
      if (value === undefined) return `${key} idle`;
      state.update(value);
      return key;
    }).timeout(Seconds(6));
    const seen = new Map<number, string[]>();
    const define = (ssc: StreamingContext): void =>
      ssc
        .sourceStream(everySecond(4).source(), { uid: 'pairs' })
        .mapWithState(spec, { uid: 'last' })
        .foreachRDD(async (rdd, time) => {
          seen.set(time.milliseconds / 1000, (await rdd.collect()).sort());
        });
    await stream.run(define, 5);
    await stream.run(define, 12, { batchInterval: Seconds(3) });
    // Last touched at 3 s and 4 s.
    expect(seen.get(9)).toEqual([]);
    expect(seen.get(12)).toEqual(['k0 idle', 'k1 idle']);
  });
});
