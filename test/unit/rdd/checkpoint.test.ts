import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { RDD } from '../../../src/rdd/rdd.ts';
import type { RddContext } from '../../../src/rdd/rdd-context.ts';
import { dropMemoryStore } from '../../../src/storage/memory-store.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { newContext } from './fixture.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const url = 'memory:rdd-checkpoints/dir';

afterEach(() => dropMemoryStore('rdd-checkpoints'));

async function stored(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of (await openObjectStore(url)).list('')) names.push(name.replace(/^[0-9a-f]{32}/, '*'));
  return names;
}

/** An RDD behind a shuffle, and how many rows were computed for it. */
function counted(context: RddContext): { readonly rdd: RDD<[number, number]>; readonly rows: () => number } {
  let rows = 0;
  const rdd = context
    .parallelize([1, 2, 3, 4], 2)
    .keyBy((x) => x % 2)
    .reduceByKey((a, b) => a + b)
    .mapValues((sum) => {
      rows++;
      return sum;
    });
  return { rdd, rows: () => rows };
}

describe('RDD.checkpoint', () => {
  it('needs a directory', () => {
    const rdd = newContext().parallelize([1]);
    expect(() => rdd.checkpoint()).toThrowError(
      expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining('has not been set') }),
    );
    expect(() => rdd.context.setCheckpointDir('ftp://x')).toThrowError(
      expect.objectContaining({ code: 'URL_INVALID' }),
    );
  });

  it('writes after the first job, computing once more, and cuts the lineage', async () => {
    const context = newContext(2);
    context.setCheckpointDir(url);
    const { rdd, rows } = counted(context);
    rdd.checkpoint();
    expect([rdd.isCheckpointed, rdd.getCheckpointFile(), await stored()]).toEqual([false, undefined, []]);
    const expected = await rdd.collect();
    expect(rows()).toBe(4);
    expect(rdd.isCheckpointed).toBe(true);
    expect(await stored()).toEqual([
      `*/rdd-${rdd.id}/_SUCCESS`,
      `*/rdd-${rdd.id}/part-00000`,
      `*/rdd-${rdd.id}/part-00001`,
    ]);
    expect(rdd.getCheckpointFile()).toMatch(new RegExp(`^memory:rdd-checkpoints/dir/[0-9a-f]{32}/rdd-${rdd.id}$`));
    expect([rdd.dependencies, rdd.toDebugString()]).toEqual([[], '(2) mapValues [checkpointed]']);
    expect(await rdd.collect()).toEqual(expected);
    expect(await rdd.take(1)).toEqual(expected.slice(0, 1));
    expect(await rdd.map(([, sum]) => sum).collect()).toEqual(expected.map(([, sum]) => sum));
    expect(rows()).toBe(4);
    expect(rdd.partitioner?.numPartitions).toBe(2);
    rdd.checkpoint();
    await rdd.count();
    expect((await stored()).length).toBe(3);
  });

  it('computes no row twice when the RDD is persisted', async () => {
    const context = newContext(2);
    context.setCheckpointDir(url);
    const { rdd, rows } = counted(context);
    rdd.persist().checkpoint();
    await rdd.count();
    expect(rows()).toBe(2);
    rdd.unpersist();
    expect((await rdd.collect()).length).toBe(2);
    expect(rows()).toBe(2);
  });

  it('is done by a job on something behind it, also across a shuffle and only for a part', async () => {
    const context = newContext(2);
    context.setCheckpointDir(url);
    const { rdd, rows } = counted(context);
    rdd.checkpoint();
    await rdd
      .map(([k, v]) => `${k}${v}`)
      .repartition(3)
      .take(1);
    expect(rdd.isCheckpointed).toBe(true);
    const before = rows();
    expect((await rdd.collect()).length).toBe(2);
    expect(rows()).toBe(before);
    const other = context.parallelize([1], 1);
    other.checkpoint();
    await rdd.count();
    expect(other.isCheckpointed).toBe(false);
  });

  it('bounds a lineage that an iteration would grow without end', async () => {
    const context = newContext(2);
    context.setCheckpointDir(url);
    // Without the cuts, so many operators around each other overflow the stack.
    let rdd: RDD<number> = context.parallelize([0], 1);
    for (let i = 1; i <= 20_000; i++) {
      rdd = rdd.map((x) => x + 1);
      if (i % 1000 === 0) {
        rdd.checkpoint();
        await rdd.count();
      }
    }
    expect(await rdd.collect()).toEqual([20_000]);
  });

  it('reports a failure to write by the action, and tries again after the next one', async () => {
    const context = newContext(2);
    context.setCheckpointDir(url);
    let value: unknown = () => 1;
    const rdd = context.parallelize([0, 1], 2).map((x) => (x === 0 ? x : value));
    rdd.checkpoint();
    await expect(rdd.count()).rejects.toMatchObject({ code: 'VALUE_UNSUPPORTED' });
    expect([rdd.isCheckpointed, await stored()]).toEqual([false, []]);
    value = 1;
    expect(await rdd.collect()).toEqual([0, 1]);
    expect(rdd.isCheckpointed).toBe(true);
    expect((await stored())[0]).toBe(`*/rdd-${rdd.id}-2/_SUCCESS`);
  });

  it('is done once by jobs that overlap', async () => {
    const context = newContext(2);
    context.setCheckpointDir(url);
    const { rdd } = counted(context);
    rdd.checkpoint();
    await Promise.all([rdd.count(), rdd.collect(), rdd.keys().collect()]);
    expect((await stored()).length).toBe(3);
  });
});

describe('RDD.localCheckpoint', () => {
  it('keeps the rows in memory, computes each once, and cuts the lineage', async () => {
    const { rdd, rows } = counted(newContext(2));
    const { rdd: same } = counted(newContext(2));
    expect(rdd.localCheckpoint()).toBe(rdd);
    expect([rdd.isCheckpointed, rdd.isPersisted]).toEqual([false, true]);
    await rdd.take(1);
    expect([rdd.isCheckpointed, rdd.getCheckpointFile(), rows()]).toEqual([true, undefined, 2]);
    expect(rdd.dependencies).toEqual([]);
    rdd.unpersist();
    expect(await rdd.collect()).toEqual(await same.collect());
    expect(rows()).toBe(2);
    expect(rdd.localCheckpoint().isPersisted).toBe(false);
  });

  it('lets go of what the rows were computed from', async () => {
    // Built elsewhere: the frame of this test would hold what it names.
    const build = (): { readonly rdd: RDD<number>; readonly held: WeakRef<object> } => {
      const source = { rows: [1, 2, 3] };
      const rdd = newContext()
        .parallelize([0, 1, 2], 2)
        .map((i) => source.rows[i]!);
      return { rdd, held: new WeakRef(source) };
    };
    const { rdd, held } = build();
    rdd.localCheckpoint();
    await rdd.count();
    await vi.waitFor(() => {
      collectGarbage();
      // Not the object itself: an error about it would hold it.
      expect(held.deref() === undefined).toBe(true);
    });
    expect(await rdd.collect()).toEqual([1, 2, 3]);
  });

  it('takes the place of a checkpoint that is not yet done', async () => {
    const context = newContext(2);
    context.setCheckpointDir(url);
    const rdd = context.parallelize([{ f: () => 1 }], 1);
    rdd.checkpoint();
    rdd.localCheckpoint();
    await rdd.count();
    expect([rdd.isCheckpointed, rdd.getCheckpointFile(), await stored()]).toEqual([true, undefined, []]);
  });
});

describe('RDD identity', () => {
  it('has ids in order of creation and a name that can be set', async () => {
    const rdd = newContext(1, { taskAttemptsMax: 1 }).parallelize([1], 1);
    const failing = rdd.map((): number => {
      throw new Error('x');
    });
    expect(failing.id).toBeGreaterThan(rdd.id);
    expect(failing.name).toBe('map');
    expect(failing.setName('readings')).toBe(failing);
    expect(failing.toDebugString()).toContain('(1) readings');
    await expect(failing.count()).rejects.toMatchObject({ context: { stageName: 'readings' } });
  });
});
