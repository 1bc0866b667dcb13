import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { type CrashPoint, crashPoints } from '../../../src/base/crash-points.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { DrivenStream } from '../../support/driven-stream.ts';

const endMs = 12_000;
let runs = 0;

/** A file every 400 ms, some of them late; drivers die at the point and time named. Resolves with the rows per batch time. */
async function run(point: CrashPoint | undefined, occurrences: readonly number[], downtimeMs: number) {
  const clock = new ManualClock(0);
  const space = `file-crashes-${++runs}`;
  const objects = new MemoryStore({ clock });
  const batches = new Map<number, string>();
  const pending = [...occurrences];
  let written = 0;
  let writtenMs = 0;

  const write = async (nowMs: number): Promise<void> => {
    // Times of files may be a little ahead.
    writtenMs = Math.max(writtenMs, nowMs + 400);
    for (; written * 400 < nowMs; written++) {
      // Every third one carries a time before its upload.
      const modifiedMs = written * 400 + (written % 3 === 0 ? 50 : 390);
      const store = new MemoryStore({ name: space, prefix: 'in', clock: new ManualClock(modifiedMs) });
      const name = `file-${String(written).padStart(3, '0')}`;
      await store.putIfAbsent(name, Buffer.from(`${name} a\n${name} b\n`), new SeededRandom(written).id());
    }
  };

  for (let life = 1; ; life++) {
    const died = new Error('killed');
    const store = new FaultyStore(objects);
    let passed = 0;
    try {
      const context = await StreamingContext.getOrCreate(store, () => {
        const ssc = new StreamingContext({
          appName: 'files',
          batchInterval: Seconds(1),
          checkpoint: { manifestEveryRecords: 3, retainManifests: 1 },
          startReport: false,
          environment: {
            clock,
            random: new SeededRandom(life),
            crashHook: (at) => {
              if (at !== point || ++passed !== pending[0]) return;
              pending.shift();
              store.crash({ signal: died });
              throw died;
            },
          },
        });
        ssc.textFileStream(`memory:${space}/in`, { uid: 'files' }).foreachRDD(async (rdd, time) => {
          const rows = (await rdd.collect()).join('\n');
          const before = batches.get(time.milliseconds);
          if (before !== undefined && before !== rows) throw new Error(`${time} was replayed with other rows.`);
          batches.set(time.milliseconds, rows);
        });
        return ssc;
      });
      const driven = new DrivenStream(context, clock, 1000);
      await context.start();
      while (driven.lastBatchTimeMs < endMs || driven.lastBatchTimeMs < writtenMs) {
        if (driven.lastBatchTimeMs < endMs) await write(driven.lastBatchTimeMs + 1000);
        await driven.runTo(driven.lastBatchTimeMs + 1000);
      }
      await driven.stop();
      return { batches, written, lives: life };
    } catch (error) {
      if (error !== died && (error as Error).cause !== died) throw error;
      clock.advanceBy(downtimeMs);
      if (downtimeMs > 0) await write(clock.now());
    }
  }
}

function allRows(written: number): string[] {
  return Array.from({ length: written }, (_, n) => `file-${String(n).padStart(3, '0')}`).flatMap((name) => [
    `${name} a`,
    `${name} b`,
  ]);
}

function rowsOf(batches: ReadonlyMap<number, string>): string[] {
  return [...batches.values()].flatMap((rows) => (rows === '' ? [] : rows.split('\n'))).sort();
}

const reached = crashPoints.filter((point) => !['commit:segments-written', 'publish:one-done'].includes(point));

describe.each(reached)('a driver killed at %s', (point) => {
  test('leaves the files of every batch as they would have been', async () => {
    const uninterrupted = await run(undefined, [], 0);
    for (const occurrence of [1, 4]) {
      const { batches } = await run(point, [occurrence], 0);
      expect(batches).toEqual(uninterrupted.batches);
    }
  });

  test('twice, with files that come meanwhile > every file is in one batch, whole', async () => {
    const { batches, written } = await run(point, [3, 2], 2700);
    expect(rowsOf(batches)).toEqual(allRows(written));
  });
});
