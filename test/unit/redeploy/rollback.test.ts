import { describe, expect, test } from 'vitest';
import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { rewindStream } from '../../../src/operate/rewind-stream.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { errorOf } from '../engine/support.ts';
import { Deployed, everySecond } from './support.ts';

type Define = (ssc: StreamingContext) => void;

const rows = (ssc: StreamingContext) => ssc.sourceStream(everySecond().source(), { uid: 'pairs' });

/** What the program was before the redeploy. */
function former(stream: Deployed): Define {
  return (ssc) =>
    stream.look(
      rows(ssc).updateStateByKey<string, number, number>((values, n) => (n ?? 0) + values.length, { uid: 'totals' }),
    );
}

/** Without that operator, and with another one and another input. */
function latter(stream: Deployed): Define {
  return (ssc) => {
    ssc.dropState('totals');
    const more = ssc.sourceStream(everySecond().source(), { uid: 'more' });
    stream.look(
      rows(ssc)
        .union(more)
        .updateStateByKey<string, number, number>((values, n) => (n ?? 0) + values.length, { uid: 'others' }),
      new Map(),
    );
  };
}

describe('the former program goes on', () => {
  test.each<CrashPoint>(['recovery:fenced', 'recovery:sources-started', 'batch:begin', 'batch:planned'])(
    'as if nothing had been deployed when the new one died at %s, before its first commit',
    async (point) => {
      const stream = new Deployed();
      await stream.run(former(stream), 5);
      const died = new Error('died');
      const crashHook = (at: CrashPoint): void => {
        if (at === point) throw died;
      };
      await expect(stream.run(latter(stream), 7, { crashHook })).rejects.toBe(died);
      await stream.run(former(stream), 8);
      expect(stream.seen.get(8)).toEqual({ k0: 4, k1: 4 });
      expect(stream.warnings).toEqual([]);
    },
  );

  test.each([
    ['in records', {}],
    ['in snapshots, with a floor', { manifestEveryRecords: 3, retainManifests: 12, silenceThresholdMs: 500 }],
  ])('after a rewind to the last batch before the redeploy, with the dropped state %s', async (_where, checkpoint) => {
    const stream = new Deployed();
    await stream.run(former(stream), 10, { checkpoint });
    await stream.run(latter(stream), 14, { checkpoint });
    expect(Object.keys((await stream.status()).fingerprints)).toEqual(['others']);
    // Batch 1 is the one at zero time.
    await rewindStream(stream.store, 11, { clock: stream.clock });
    await stream.run(former(stream), 16, { checkpoint });
    for (const t of [11, 12, 14]) expect(stream.seen.has(t)).toBe(true);
    expect(stream.seen.get(16)).toEqual({ k0: 8, k1: 8 });
    expect(Object.keys((await stream.status()).fingerprints)).toEqual(['totals']);
    expect(stream.warnings).toEqual([]);
  });

  test('not when the floor has passed: then the state is gone for good', async () => {
    const stream = new Deployed();
    const checkpoint = { manifestEveryRecords: 3, retainManifests: 1, silenceThresholdMs: 500 };
    await stream.run(former(stream), 10, { checkpoint });
    await stream.run(latter(stream), 30, { checkpoint });
    expect(await errorOf(rewindStream(stream.store, 11, { clock: stream.clock }))).toMatchObject({
      code: 'BATCH_NOT_RETAINED',
    });
  });

  test('with the state of the batches since, once it gives up the input it does not know', async () => {
    const stream = new Deployed();
    await stream.run(former(stream), 5);
    const more = (ssc: StreamingContext) => ssc.sourceStream(everySecond().source(), { uid: 'more' });
    const changed: Define = (ssc) => {
      former(stream)(ssc);
      more(ssc).count().print();
    };
    await stream.run(changed, 7);
    expect(await stream.refusal(former(stream))).toMatch(/^source 'more' .*\| missing .*dropSource\('more'\)/m);
    const without: Define = (ssc) => {
      ssc.dropSource('more');
      former(stream)(ssc);
    };
    await stream.run(without, 8);
    await stream.run(without, 9);
    expect(stream.seen.get(9)).toEqual({ k0: 4, k1: 5 });
    await stream.run(former(stream), 10);
    // What comes back under the uid is a new input.
    const counts: number[] = [];
    await stream.run((ssc) => {
      former(stream)(ssc);
      more(ssc).foreachRDD(async (rdd) => void counts.push(await rdd.count()));
    }, 12);
    expect(counts).toEqual([11, 1]);
  });

  test('after a plan of the new one that had not run, without the rows of the input it gives up', async () => {
    const stream = new Deployed();
    await stream.run(former(stream), 5);
    const died = new Error('died');
    const crashHook = (at: CrashPoint): void => {
      if (at === 'batch:plan-recorded') throw died;
    };
    await expect(stream.run(latter(stream), 7, { crashHook })).rejects.toBe(died);
    expect(await stream.refusal(former(stream))).toContain("ssc.dropSource('more')");
    await stream.run((ssc) => {
      ssc.dropSource('more');
      former(stream)(ssc);
    }, 8);
    expect(stream.seen.get(8)).toEqual({ k0: 4, k1: 4 });
  });

  test('dropSource is for inputs the program does not define', async () => {
    const stream = new Deployed();
    const driven = await stream.open((ssc) => {
      ssc.dropSource('pairs');
      former(stream)(ssc);
    });
    expect((await errorOf(driven.context.start())).message).toMatch(
      /^dropSource\('pairs'\) gives up an input that the program defines/,
    );
  });
});
