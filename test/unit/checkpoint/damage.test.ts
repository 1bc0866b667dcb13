import { beforeAll, describe, expect, it } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import type { StreamStatus } from '../../../src/checkpoint/records.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { ByteRange, GetOutcome } from '../../../src/storage/object-store.ts';
import { MiniDriver } from './mini-driver.ts';
import { batch, fence, JumpingClock, loadCounters, optionsWith } from './support.ts';

/** Remembers what was read. */
class WatchedStore extends MemoryStore {
  readonly reads = new Set<string>();

  override get(name: string, range?: ByteRange): Promise<GetOutcome> {
    this.reads.add(name);
    return super.get(name, range);
  }
}

interface Recovery {
  readonly status: StreamStatus;
  readonly state: readonly unknown[];
}

const clock = new JumpingClock();
const random = new SeededRandom(42);
const store = new WatchedStore({ clock });
const objects = new Map<string, Uint8Array>();
let intact: Recovery;
/** What a recovery reads and finds: damage there must be an error. */
let needed: readonly string[] = [];
let newestRecord: string;

async function recover(): Promise<Recovery> {
  const found = await readCheckpoint(store);
  if (found === undefined) throw new Error('recovered as a new stream');
  const state = await loadCounters(found);
  return { status: found.status, state: [...state].map(([uid, { values }]) => [uid, [...values].sort()]) };
}

async function put(name: string, bytes: Uint8Array | undefined): Promise<void> {
  await store.delete([name]);
  if (bytes !== undefined) await store.putIfAbsent(name, bytes, random.id());
}

/** Recovery with one object changed (undefined: deleted), as an outcome. */
async function recoverWith(name: string, bytes: Uint8Array | undefined): Promise<Recovery | Error> {
  await put(name, bytes);
  try {
    return await recover();
  } catch (error) {
    return error as Error;
  } finally {
    await put(name, objects.get(name)!);
  }
}

function expectNamedError(outcome: Recovery | Error, name: string, what: string): void {
  const label = `${name} ${what}`;
  expect(outcome, label).toBeInstanceOf(Error);
  expect(outcome, label).toMatchObject({ code: 'CHECKPOINT_CORRUPT', context: { object: name } });
}

beforeAll(async () => {
  const policy = { manifestEveryRecords: 6, silenceThresholdMs: 2_000, inlineBytesMax: 10 };
  const driver = await MiniDriver.start(store, clock, 1, policy);
  for (let i = 0; i < 30; i++) {
    clock.advanceBy(1000);
    await driver.runBatch();
  }
  // The rest inline, so that both forms of a delta are there; and a plan and another fence.
  const next = await MiniDriver.start(store, clock, 2, { ...policy, inlineBytesMax: 1000, manifestEveryRecords: 100 });
  for (let i = 0; i < 2; i++) await next.runBatch();
  await next.log.recordPlan({ batchId: next.nextBatchId, batchTimeMs: 7, sources: { in: [1, 2] } });
  for await (const { name } of store.list('')) {
    const outcome = await MemoryStore.prototype.get.call(store, name);
    if (outcome.status === 'found') objects.set(name, outcome.bytes);
  }
  store.reads.clear();
  intact = await recover();
  needed = [...store.reads].filter((name) => objects.has(name) && name !== 'hint');
  newestRecord = [...objects.keys()].filter((name) => name.startsWith('log/')).at(-1)!;
});

describe('the checkpoint of these tests', () => {
  it('holds every kind of object, and some that a recovery does not need', () => {
    const prefixes = (names: Iterable<string>) => new Set([...names].map((name) => name.split('/')[0]));
    expect(prefixes(objects.keys())).toEqual(new Set(['format', 'gc', 'hint', 'log', 'man', 'seg', 'snap']));
    expect(prefixes(needed)).toEqual(new Set(['format', 'gc', 'log', 'man', 'seg', 'snap']));
    expect(needed.length).toBeLessThan(objects.size - 1);
  });
});

describe('a flipped bit', () => {
  it('row 26: anywhere in an object that recovery needs is an error that names the object', async () => {
    let flips = 0;
    for (const name of needed) {
      const bytes = objects.get(name)!;
      for (let at = 0; at < bytes.length; at++) {
        const flipped = bytes.slice();
        flipped[at]! ^= 1 << Math.floor(random.next() * 8);
        expectNamedError(await recoverWith(name, flipped), name, `byte ${at}`);
        flips += 1;
      }
    }
    expect(flips).toBeGreaterThan(5000);
  });

  it('row 18: in the hint changes nothing but the way', async () => {
    const bytes = objects.get('hint')!;
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice();
      flipped[at]! ^= 1 << Math.floor(random.next() * 8);
      expect(await recoverWith('hint', flipped), `byte ${at}`).toEqual(intact);
    }
  });

  it('in an object that recovery does not need changes nothing', async () => {
    for (const [name, bytes] of objects) {
      if (needed.includes(name)) continue;
      const flipped = bytes.slice();
      flipped[bytes.length >> 1]! ^= 1;
      expect(await recoverWith(name, flipped), name).toEqual(intact);
    }
  });
});

describe('a cut or missing object', () => {
  it('row 26: is an error that names it, whatever its length', async () => {
    for (const name of needed) {
      const bytes = objects.get(name)!;
      for (let length = 0; length < bytes.length; length++) {
        expectNamedError(await recoverWith(name, bytes.slice(0, length)), name, `cut to ${length}`);
      }
    }
  });

  it('of the structured kinds must not be longer either', async () => {
    for (const name of needed.filter((name) => !/^(seg|snap)/.test(name))) {
      expectNamedError(await recoverWith(name, Buffer.concat([objects.get(name)!, Buffer.of(0)])), name, 'longer');
    }
  });

  it('row 26: is an error when it is gone, except what can be told from the rest', async () => {
    for (const name of needed) {
      const outcome = await recoverWith(name, undefined);
      if (name === 'gc/floor') {
        // The log announces the floor too; a missing one is raised again.
        expect(outcome, name).toEqual(intact);
      } else if (name !== newestRecord) {
        expectNamedError(outcome, name, 'missing');
      }
    }
  });

  it('row 32: is noticed at the end of the log as far as the hint has seen', async () => {
    const all = [...objects.keys()].filter((name) => name.startsWith('log/'));
    const newest = all.slice(-4);
    for (const name of newest) await put(name, undefined);
    await expect(recover()).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT', context: { object: newest[0] } });
    for (const name of newest) await put(name, objects.get(name)!);
    expect(await recover()).toEqual(intact);
  });
});

describe('two swapped bytes', () => {
  it('row 26: anywhere in an object that recovery needs are an error that names the object', async () => {
    let swaps = 0;
    for (const name of needed) {
      const bytes = objects.get(name)!;
      for (let at = 0; at < bytes.length; at++) {
        // With its neighbour, or, where that is the same, with the next byte that differs.
        let other = at + 1;
        while (other < bytes.length && bytes[other] === bytes[at]) other += 1;
        if (other === bytes.length) continue;
        const swapped = bytes.slice();
        swapped[at] = bytes[other]!;
        swapped[other] = bytes[at]!;
        expectNamedError(await recoverWith(name, swapped), name, `bytes ${at} and ${other}`);
        swaps += 1;
      }
    }
    expect(swaps).toBeGreaterThan(5000);
  });
});

describe('a swapped object', () => {
  it('row 26: is an error: a record at another slot, a manifest or part under another name', async () => {
    for (const prefix of ['log/', 'man/', 'seg/', 'snap/']) {
      const names = needed.filter((name) => name.startsWith(prefix));
      const others = [...objects.keys()].filter((name) => name.startsWith(prefix));
      for (const name of names) {
        const other = others.find((candidate) => candidate !== name);
        if (other === undefined) continue;
        expectNamedError(await recoverWith(name, objects.get(other)!), name, `content of ${other}`);
      }
    }
  });

  it('is an error when a record comes from another stream', async () => {
    const foreign = new MemoryStore({ clock });
    const options = optionsWith(clock, 99);
    const log = await CheckpointLog.takeOver(foreign, undefined, fence, options);
    await log.commitBatch(batch(1));
    const young = new MemoryStore({ clock });
    await CheckpointLog.takeOver(young, undefined, fence, optionsWith(clock, 98));
    const record = await foreign.get('log/00000000000000000002');
    if (record.status === 'found') await young.putIfAbsent('log/00000000000000000002', record.bytes, random.id());
    await expect(readCheckpoint(young)).rejects.toThrow(/does not continue record 1/);
  });
});

describe('what is left of a checkpoint', () => {
  const keep = async (pattern: RegExp): Promise<MemoryStore> => {
    const rest = new MemoryStore({ clock });
    for (const [name, bytes] of objects) if (pattern.test(name)) await rest.putIfAbsent(name, bytes, random.id());
    return rest;
  };

  it('never counts as a new stream', async () => {
    const rests = [
      /^log/,
      /^man/,
      /^seg/,
      /^snap/,
      /^hint/,
      /^gc/,
      /^(?!format)/,
      /^(?!log)/,
      /^(format|hint)/,
      /^(format|gc)/,
    ];
    for (const pattern of rests) {
      const rest = await keep(pattern);
      await expect(readCheckpoint(rest), String(pattern)).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
    }
  });

  it('continues creation when only the format is there', async () => {
    const rest = await keep(/^format/);
    expect(await readCheckpoint(rest)).toBeUndefined();
    const log = await CheckpointLog.takeOver(rest, undefined, fence, optionsWith(clock, 5));
    expect(log.streamId).toBe(intact.status.streamId);
    expect(log.epoch).toBe(1);
  });
});

describe('the way without a usable hint', () => {
  it('row 18: is a listing to the same stream', async () => {
    for (const bytes of [undefined, new Uint8Array(0), Buffer.from('garbage'), objects.get('format')!]) {
      expect(await recoverWith('hint', bytes)).toEqual(intact);
    }
  });

  it('finds a gap anywhere above the floor', async () => {
    await put('hint', undefined);
    const records = [...objects.keys()].filter((name) => name.startsWith('log/'));
    for (const name of records.slice(0, -1)) expectNamedError(await recoverWith(name, undefined), name, 'missing');
    await put('hint', objects.get('hint')!);
  });
});
