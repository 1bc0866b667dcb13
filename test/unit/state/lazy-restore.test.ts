import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hashKey, keyIdentity } from '../../../src/base/canonical-key.ts';
import { TidemarkError } from '../../../src/base/errors.ts';
import { StateTable } from '../../../src/state/state-table.ts';
import type { StoredOperator } from '../../../src/state/stored-operator.ts';
import type { TableExtent } from '../../../src/state/table-extents.ts';

const padding = 'x'.repeat(1980);

/** A table and all that a log would keep of it; every read is counted. */
class Stored {
  table: StateTable;
  readonly numPartitions: number;
  extents: TableExtent[] = [];
  deltas: Uint8Array[] = [];
  fingerprint = '';
  bytesRead = 0;
  batchId = 0;
  logBytes = 0;
  manifestBytes = 0;

  constructor(numPartitions = 2) {
    this.numPartitions = numPartitions;
    this.table = new StateTable({ uid: 'op', numPartitions });
  }

  put(keys: Iterable<number>, value: (key: number) => unknown = (key) => [key, this.batchId, padding]): void {
    for (const key of keys) this.partitionOf(key).put(0, keyIdentity(`key ${key}`), `key ${key}`, value(key));
  }

  remove(keys: Iterable<number>): void {
    for (const key of keys) this.partitionOf(key).remove(0, keyIdentity(`key ${key}`));
  }

  partitionOf(key: number): ReturnType<StateTable['partition']> {
    return this.table.partition(hashKey(`key ${key}`) % this.table.numPartitions);
  }

  commit(): void {
    const { bytes, fingerprint } = this.table.seal();
    this.table.merge();
    this.deltas.push(bytes);
    this.fingerprint = fingerprint;
    this.logBytes += bytes.length;
  }

  async manifest(alpha = 0.5): Promise<void> {
    await this.table.readyForManifest();
    const written = [...this.table.extents(alpha)];
    this.manifestBytes += written.reduce((sum, { bytes }) => sum + bytes.length, 0);
    // What the log keeps: extents of which some bucket is not in a later base.
    const all = [...this.extents, ...written];
    this.extents = all.filter(({ buckets }, i) => {
      const later = all.slice(i + 1).filter(({ kind }) => kind === 'base');
      for (let b = buckets.from; b < buckets.to; b++) {
        if (!later.some((base) => base.buckets.from <= b && b < base.buckets.to)) return true;
      }
      return false;
    });
    this.deltas = [];
  }

  get storedBytes(): number {
    return this.extents.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  get stored(): StoredOperator {
    const read = async (bytes: Uint8Array): Promise<Uint8Array> => {
      await undefined;
      this.bytesRead += bytes.length;
      return bytes;
    };
    return {
      extents: this.extents.map(({ kind, buckets, summary, bytes }) => {
        return { isBase: kind === 'base', buckets, summary, lengthBytes: bytes.length, read: () => read(bytes) };
      }),
      deltas: this.deltas.map((bytes) => ({ lengthBytes: bytes.length, read: () => read(bytes) })),
    };
  }

  async restart(numPartitions = this.numPartitions): Promise<void> {
    this.table = new StateTable({ uid: 'op', numPartitions });
    this.bytesRead = 0;
    await this.table.restoreFrom(this.stored, this.fingerprint);
  }

  content(): Map<string, unknown> {
    const cells = new Map<string, unknown>();
    for (let p = 0; p < this.table.numPartitions; p++) {
      this.table.partition(p).forEach(0, (_id, { key, value }) => cells.set(key as string, value));
    }
    return cells;
  }
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

/** 6,000 keys, about 12 MB, with some changes in extents and some in records. */
async function large(): Promise<Stored> {
  const stored = new Stored();
  stored.put(numbers(0, 6_000));
  stored.commit();
  await stored.manifest();
  stored.put(numbers(100, 200));
  stored.remove(numbers(200, 220));
  stored.commit();
  await stored.manifest();
  stored.put(numbers(5_990, 6_010));
  stored.remove([150]);
  stored.commit();
  return stored;
}

describe('a large state', () => {
  test('runs its first batch before a tenth of it is read, and is whole afterwards', async () => {
    const stored = await large();
    const before = stored.content();
    await stored.restart();
    const { table } = stored;
    expect(table.isLoaded).toBe(false);
    expect(table.fingerprint).toBe(stored.fingerprint);
    expect(table.keyCount).toBe(before.size);

    const keys = [42, 5_995];
    await table.ensureLoaded(keys.map((key) => `key ${key}`));
    expect(stored.bytesRead).toBeLessThan(stored.storedBytes / 10);
    for (const key of keys) {
      const cell = stored.partitionOf(key).get(0, `key ${key}`);
      expect(cell?.value).toEqual(before.get(`key ${key}`));
    }
    stored.put([42], () => 'new');
    stored.remove([5_995]);
    stored.commit();
    expect(table.isLoaded).toBe(false);

    await table.ensureLoaded();
    expect(table.isLoaded).toBe(true);
    before.set('key 42', 'new');
    before.delete('key 5995');
    expect([...stored.content()]).toEqual([...before]);
    table.verify(stored.fingerprint);
  });

  test('makes a manifest while most of it is not read, and is found whole by the next driver', async () => {
    const stored = await large();
    const before = stored.content();
    await stored.restart(3);
    await stored.table.ensureLoaded(['key 1']);
    stored.put([1], () => 'one');
    stored.commit();
    await stored.manifest();
    expect(stored.bytesRead).toBeLessThan(stored.storedBytes);
    await stored.restart();
    await stored.table.ensureLoaded();
    stored.table.verify(stored.fingerprint);
    before.set('key 1', 'one');
    expect(new Map(stored.content())).toEqual(before);
  });

  test('that is damaged > the error names operator and buckets, whenever the damage is met', async () => {
    const stored = await large();
    const victim = stored.extents.findLastIndex(({ kind, bytes }) => kind === 'base' && bytes.length > 10_000);
    const { bytes, buckets } = stored.extents[victim]!;
    const damaged = Uint8Array.from(bytes);
    damaged[damaged.length - 3]! ^= 1;
    stored.extents[victim] = { ...stored.extents[victim]!, bytes: damaged };
    await stored.restart();
    const error: unknown = await stored.table.ensureLoaded().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TidemarkError);
    expect((error as TidemarkError).code).toBe('STATE_MISMATCH');
    expect((error as TidemarkError).message).toContain(`'op' in buckets ${buckets.from} to`);
  });

  test('whose store does not answer for a while can be asked again', async () => {
    const stored = await large();
    const { fingerprint } = stored;
    let refusals = 3;
    const refusing: StoredOperator = {
      deltas: stored.stored.deltas,
      extents: stored.stored.extents.map((extent) => ({
        ...extent,
        read: () => (refusals-- > 0 ? Promise.reject(new Error('no answer')) : extent.read()),
      })),
    };
    const table = new StateTable({ uid: 'op', numPartitions: 2 });
    await table.restoreFrom(refusing, fingerprint);
    await expect(table.ensureLoaded()).rejects.toThrow('no answer');
    while (!table.isLoaded) await table.ensureLoaded().catch(() => {});
    table.verify(fingerprint);
  });
});

describe('manifests', () => {
  test.each([
    [
      'updates of a tenth of the keys',
      0.5,
      (round: number) => numbers(round * 60, round * 60 + 120).map((k) => k % 1200),
    ],
    ['updates of few keys', 0.5, (round: number) => numbers(round * 8, round * 8 + 18).map((k) => (k * 7) % 1200)],
    ['new keys only', 0.5, (round: number) => numbers(1200 + round * 20, 1200 + round * 20 + 20)],
    ['a smaller alpha', 0.25, (round: number) => numbers(round * 60, round * 60 + 120).map((k) => k % 1200)],
  ])('%s > all that is written is at most 1 + 1/alpha times the changes', async (_what, alpha, keysOf) => {
    const stored = new Stored();
    stored.put(numbers(0, 1200));
    stored.commit();
    await stored.manifest(alpha);
    for (let round = 0; round < 80; round++) {
      stored.put(keysOf(round));
      stored.commit();
      await stored.manifest(alpha);
      expect(stored.logBytes + stored.manifestBytes, `round ${round}`).toBeLessThanOrEqual(
        stored.logBytes * (1 + 1 / alpha),
      );
    }
    // Space: the state, and deltas up to alpha / (1 - alpha) of it.
    expect(stored.storedBytes).toBeLessThan(new Set(stored.content().keys()).size * 2020 * (1 + alpha / (1 - alpha)));
    await stored.restart();
    await stored.table.ensureLoaded();
    stored.table.verify(stored.fingerprint);
  });

  test.each([
    ['of a small state nothing but the note changes', numbers(0, 20), []],
    ['of a large state one key changes', numbers(0, 1_000), [7]],
  ])('%s > the extents that a manifest lists stay bounded', async (_what, keys, changing) => {
    const stored = new Stored();
    stored.put(keys);
    stored.commit();
    await stored.manifest();
    for (let round = 1; round <= 700; round++) {
      stored.put(changing, () => round);
      stored.table.meta = round;
      stored.commit();
      await stored.manifest();
      expect(stored.extents.length, `round ${round}`).toBeLessThan(300);
    }
    await stored.restart();
    await stored.table.ensureLoaded();
    stored.table.verify(stored.fingerprint);
    expect(stored.table.meta).toBe(700);
  });

  test('hold nothing of batches that changed nothing', () => {
    const table = new StateTable({ uid: 'op', numPartitions: 2 });
    table.partition(0).put(0, keyIdentity('key'), 'key', 1);
    table.seal();
    table.merge();
    expect(table.isChanged).toBe(true);
    expect([...table.extents(0.5)]).toHaveLength(1);
    table.seal();
    table.merge();
    expect(table.isChanged).toBe(false);
  });

  test('of a small state are one extent, of a large one in pieces that are soon encoded', async () => {
    const small = new Stored();
    for (let round = 0; round < 40; round++) {
      small.put(numbers(0, 20));
      small.commit();
      expect([...small.table.extents(0.5)]).toHaveLength(1);
    }
    const stored = await large();
    stored.put(numbers(0, 6_000));
    stored.commit();
    for (const { bytes } of stored.table.extents(0)) expect(bytes.length).toBeLessThan(0.75 * 1024 * 1024);
  });
});

describe('cut by buckets', () => {
  test('a restore gives the same order, whatever was read first', async () => {
    const stored = await large();
    const order = [...stored.content().keys()];
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 6_000 }), { maxLength: 6 }), async (first) => {
        await stored.restart();
        for (const key of first) await stored.table.ensureLoaded([`key ${key}`]);
        await stored.table.ensureLoaded();
        expect([...stored.content().keys()]).toEqual(order);
      }),
      { numRuns: 2 },
    );
  });
});
