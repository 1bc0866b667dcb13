import { describe, expect, it } from 'vitest';
import { crashPoints } from '../../../src/base/crash-points.ts';
import { TidemarkError } from '../../../src/base/errors.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import type { CheckpointOptions } from '../../../src/checkpoint/checkpoint-options.ts';
import type { LogRecord } from '../../../src/checkpoint/log-record.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { decodeRecord } from '../../../src/checkpoint/record-codec.ts';
import type { StreamStatus } from '../../../src/checkpoint/records.ts';
import { readFloor } from '../../../src/checkpoint/root-objects.ts';
import { type Faults, Session, SimulatedWorld } from './simulated-world.ts';
import { batch, CounterState, fence, loadCounters } from './support.ts';

/**
 * The protocol against a model. Several drivers run on one store that loses answers, delays writes, fails reads, stops
 * drivers for longer than any age rule, and kills them at crash points and in the middle of requests.
 *
 * The model is the list of first contents of the slots, kept by the world. What must hold at every moment:
 *   M1. Batch ids in it are dense: each batch is committed exactly once.
 *   M2. A batch record follows no fence newer than its own.
 *   M3. What was acknowledged to a driver stands in it, with that content.
 *   M4. A driver that takes over gets exactly the model's status and state.
 *   M5. Nobody is fenced without a newer fence.
 *   M6. Manifests are adopted in the order of the slots they describe, each after the record of its slot.
 *   M7. Batches are acknowledged in their order.
 */
interface Result {
  readonly batches: number;
  readonly fences: number;
  readonly fenced: number;
  readonly crashes: number;
  readonly unknown: number;
  readonly lateAdoptions: number;
  readonly groups: number;
  readonly slots: number;
  readonly slotsCleaned: number;
  readonly recreated: number;
}

class Crash extends Error {}

const ownCrashPoints = new Set<string>(
  crashPoints.filter((point) => /^(commit|retention|recovery:(before-)?fence)/.test(point)),
);

async function simulate(seed: number, drivers: number, batchesWanted: number): Promise<Result> {
  const setup = new SeededRandom(seed);
  const pick = <T>(...choices: readonly T[]): T => choices[Math.floor(setup.next() * choices.length)]!;
  const faults: Faults = {
    ...pick(
      { lostAnswer: 0, lostRequest: 0, delayed: 0, unavailable: 0 },
      { lostAnswer: 0.05, lostRequest: 0.05, delayed: 0.05, unavailable: 0.005 },
      { lostAnswer: 0.2, lostRequest: 0.1, delayed: 0.2, unavailable: 0.02 },
    ),
    freeze: pick(0, 0.005, 0.02),
    freezeSteps: pick(100, 1000, 4000),
  };
  const silenceThresholdMs = pick(50, 200, 1000);
  const world = new SimulatedWorld(seed, faults, pick(4, 20));
  const crashChance = pick(0, 0.01, 0.05);
  const policy = {
    inlineBytesMax: pick(0, 30, 10_000),
    segmentBytesMax: pick(25, 1000),
    manifestEveryRecords: pick(2, 5, 12),
    compactionAlpha: pick(0, 0.5, 2),
    retainManifests: pick(1, 2, 3),
    commitTimeoutMs: pick(2_000, 60_000),
    silenceThresholdMs,
  };
  /** Batches handed in before the first of them is known to be durable. */
  const depth = pick(1, 3, 8);
  const model = new Model(world);
  const counts = { fenced: 0, crashes: 0, unknown: 0 };
  let failure: unknown;
  const isDone = (): boolean => failure !== undefined || model.lastBatchId >= batchesWanted || world.stepCount > 60_000;

  const actor = async (index: number): Promise<void> => {
    for (let life = 0; !isDone(); life++) {
      const session = new Session(world);
      const options: CheckpointOptions & { readonly depth: number } = {
        depth,
        ...policy,
        clock: session,
        random: new SeededRandom(seed * 1000 + index * 100_003 + life * 7919),
        crashHook: (point) => {
          expect(ownCrashPoints).toContain(point);
          if (world.chance(crashChance)) throw new Crash(point);
        },
      };
      const life_ = drive(session, options, model, world, isDone);
      // A kill in the middle of whatever runs: the old life hangs for ever.
      const killed = crashChance > 0 && world.chance(0.3) ? killLater(session, world) : new Promise<never>(() => {});
      try {
        await Promise.race([life_, killed]);
      } catch (error) {
        if (error instanceof Crash) counts.crashes += 1;
        else if (!(error instanceof TidemarkError)) throw error;
        else if (error.code === 'FENCED') counts.fenced += 1;
        else if (error.code === 'COMMIT_UNKNOWN') counts.unknown += 1;
        else if (error.code !== 'STORE_UNAVAILABLE') throw error;
      }
      // Whether it died or was fenced, its requests may still be on their way.
      world.kill(session);
      // A supervisor waits a little, or two drivers would do nothing but fence each other.
      const pause = Math.floor(world.random.next() * 60);
      const rest = new Session(world);
      for (let i = 0; i < pause && !isDone(); i++) await world.step(rest);
    }
  };
  for (let index = 0; index < drivers; index++) {
    void actor(index).catch((error) => {
      failure ??= error;
    });
  }
  await world.run(isDone);
  if (failure !== undefined) throw failure;

  // Whatever happened: a last start without faults finds exactly the model.
  const found = (await readCheckpoint(world.store))!;
  await model.check(found.status, found);
  return {
    batches: model.lastBatchId,
    fences: model.fences,
    ...counts,
    lateAdoptions: model.lateAdoptions,
    groups: model.groups,
    slots: world.truth.size,
    slotsCleaned: (await readFloor(world.store)).value,
    recreated: world.recreated,
  };
}

async function killLater(session: Session, world: SimulatedWorld): Promise<never> {
  const waiter = new Session(world);
  const steps = Math.floor(world.random.next() * 300);
  for (let i = 0; i < steps; i++) await world.step(waiter);
  world.kill(session);
  throw new Crash('killed');
}

/** One driver's life: recover, then batches until something stops it. */
async function drive(
  session: Session,
  options: CheckpointOptions & { readonly depth: number },
  model: Model,
  world: SimulatedWorld,
  isDone: () => boolean,
): Promise<void> {
  const found = await readCheckpoint(session);
  if (found !== undefined) model.checkPrefix(found.status);
  const log = await CheckpointLog.takeOver(session, found, fence, options);
  const states = await loadCounters(log.recovered);
  model.checkRecovered(log, states);
  for (const uid of ['wide', 'narrow']) if (!states.has(uid)) states.set(uid, new CounterState(uid));
  const depth = options.depth;
  const ahead: Promise<void>[] = [];
  const background: Promise<unknown>[] = [];
  const received = new Set<number>();
  let acknowledged = log.status.lastBatch?.batchId ?? 0;
  let batchId = acknowledged;
  try {
    while (!isDone()) {
      if (ahead.length >= depth) await ahead.shift();
      batchId += 1;
      if (ahead.length === 0 && log.status.plan === undefined && world.chance(0.2)) {
        await log.recordPlan({ batchId, batchTimeMs: batchId, sources: { in: world.random.next() } });
      }
      const value = Math.floor(world.random.next() * 1e6);
      const wide = states.get('wide')!.set({ [`k${batchId % 13}`]: value, [`k${batchId % 7}`]: value + 1 });
      const narrow = world.chance(0.3) ? states.get('narrow')!.set({ only: value }) : states.get('narrow')!.delta([]);
      const open = log.status.unpublished.filter((handle) => !received.has(handle.batchId)).slice(0, 2);
      for (const handle of open) received.add(handle.batchId);
      const commit = batch(batchId, {
        positions: { in: value },
        deltas: [wide, narrow],
        handles: world.chance(0.5) ? [{ uid: 'out', batchId, batchTimeMs: batchId, handle: value }] : [],
        receipts: open.map(({ uid, batchId: id }) => ({ uid, batchId: id })),
        plan: world.chance(0.2) ? { batchId: batchId + 1, batchTimeMs: 1, sources: { in: value } } : undefined,
      });
      const id = batchId;
      const committed = log.commitBatch(commit).then(({ slot }) => {
        expect(id, 'M7').toBe(acknowledged + 1);
        acknowledged = id;
        model.checkAcknowledged(slot, log.epoch, id, value);
      });
      committed.catch(() => {});
      ahead.push(committed);
      const due = log.manifestDue();
      if (due !== undefined) {
        const upload = log.writeManifest([...due].map(([uid, kind]) => states.get(uid)!.extent(kind)));
        for (const uid of due.keys()) states.get(uid)!.manifestWritten();
        // In the background as often as not: some later record adopts it then.
        if (world.chance(0.5)) await upload;
        else upload.catch(() => {});
      }
      const cleaned = depth === 1 ? log.retain() : log.retain().catch(unavailable);
      cleaned.catch(() => {});
      if (depth === 1) await cleaned;
      else background.push(cleaned);
      // A driver computes between two batches: the log gets ahead of it, or falls behind.
      if (depth > 1) for (let i = Math.floor(world.random.next() * 3); i > 0; i--) await world.step(session);
      if (world.chance(0.02)) {
        await inTurn(ahead);
        await Promise.all(background);
        return await log.drain([]);
      }
    }
    await inTurn(ahead);
    await Promise.all(background);
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'FENCED') model.checkFenced(log.epoch);
    throw error;
  }
}

/** The failure of the first one counts: those after it may only say that they do not follow. */
async function inTurn(commits: readonly Promise<void>[]): Promise<void> {
  for (const commit of commits) await commit;
}

/** The engine asks again after the next batch. */
function unavailable(error: unknown): void {
  if (!(error instanceof TidemarkError)) throw error;
}

/** The truth of a world as decoded records, and what must hold about it. */
class Model {
  readonly #world: SimulatedWorld;
  readonly #records: LogRecord[] = [];
  lastBatchId = 0;
  fences = 0;
  lateAdoptions = 0;
  groups = 0;
  #epoch = 0;

  constructor(world: SimulatedWorld) {
    this.#world = world;
  }

  /** Takes in new truth; M1 and M2. */
  #refresh(): void {
    for (let slot = this.#records.length + 1; this.#world.truth.has(slot); slot++) {
      const { record } = decodeRecord(slot, this.#world.truth.get(slot)!);
      if (record.kind === 'fence') {
        this.fences += 1;
        this.#epoch = slot;
      }
      expect(record.epoch, `epoch of record ${slot}`).toBe(this.#epoch);
      if (record.kind === 'batch') {
        if (record.batches.length > 1) this.groups += 1;
        for (const { batchId } of record.batches) {
          expect(batchId, `batch of record ${slot}`).toBe(this.lastBatchId + 1);
          this.lastBatchId = batchId;
        }
      }
      this.#countLateAdoption(record);
      this.#records.push(record);
    }
  }

  #countLateAdoption(record: LogRecord): void {
    const { manifest } = record.links;
    const before = this.#records.at(-1)?.links.manifest;
    if (manifest === undefined || manifest.name === before?.name) return;
    expect(manifest.slot, `manifest adopted by record ${record.slot}`).toBeLessThan(record.slot);
    expect(manifest.slot).toBeGreaterThan(before?.slot ?? 0);
    if (manifest.slot < record.slot - 1) this.lateAdoptions += 1;
  }

  checkAcknowledged(slot: number, epoch: number, batchId: number, value: number): void {
    this.#refresh();
    expect(this.#records[slot - 1], `record ${slot}`).toMatchObject({
      kind: 'batch',
      epoch,
      batches: expect.arrayContaining([expect.objectContaining({ batchId, positions: { in: value } })]),
    });
  }

  checkFenced(epoch: number): void {
    this.#refresh();
    expect(this.#epoch, 'a newer fence').toBeGreaterThan(epoch);
  }

  /** A reader sees some prefix of the log: others go on while it reads. */
  checkPrefix(status: StreamStatus): void {
    this.#refresh();
    expect(status.tailSlot).toBeLessThanOrEqual(this.#records.length);
    expect(status).toMatchObject(this.#statusAt(status.tailSlot));
  }

  checkRecovered(log: CheckpointLog, states: ReadonlyMap<string, CounterState>): void {
    this.#refresh();
    expect(this.#records[log.epoch - 1]).toMatchObject({ kind: 'fence', slot: log.epoch });
    expect(log.recovered.status).toMatchObject(this.#statusAt(log.epoch - 1));
    this.#checkState(log.recovered.status, states);
  }

  async check(status: StreamStatus, stream: Parameters<typeof loadCounters>[0]): Promise<void> {
    this.#refresh();
    expect(status).toMatchObject(this.#statusAt(this.#records.length));
    this.#checkState(status, await loadCounters(stream));
  }

  /** The fingerprint of these tests is the state itself. */
  #checkState(status: StreamStatus, states: ReadonlyMap<string, CounterState>): void {
    for (const [uid, fingerprint] of Object.entries(status.fingerprints)) {
      expect(states.get(uid)?.fingerprint() ?? '0 entries 0', `state of ${uid}`).toBe(fingerprint);
    }
  }

  #statusAt(slot: number): Partial<StreamStatus> {
    let lastBatch: StreamStatus['lastBatch'];
    let plan: StreamStatus['plan'];
    let epoch = 0;
    let positions = {};
    let fingerprints = {};
    const open = new Map<string, unknown>();
    for (const record of this.#records.slice(0, slot)) {
      if (record.kind === 'fence') epoch = record.slot;
      if (record.kind === 'plan') plan = record.plan;
      if (record.kind === 'batch' || record.kind === 'drain') {
        for (const { uid, batchId } of record.receipts) open.delete(`${uid} ${batchId}`);
      }
      if (record.kind === 'batch') {
        plan = record.plan;
        for (const batch of record.batches) {
          lastBatch = { batchId: batch.batchId, batchTimeMs: batch.batchTimeMs };
          positions = batch.positions;
          for (const handle of batch.handles) open.set(`${handle.uid} ${handle.batchId}`, handle);
          fingerprints = Object.fromEntries(batch.deltas.map(({ uid, fingerprint }) => [uid, fingerprint]));
        }
      }
    }
    const drained = this.#records[slot - 1]?.kind === 'drain';
    return {
      tailSlot: slot,
      epoch,
      lastBatch,
      plan,
      positions,
      fingerprints,
      unpublished: [...open.values()] as never,
      drained,
    };
  }
}

describe('drivers that crash, freeze and fence each other', () => {
  const seeds = Array.from({ length: Number(process.env.SIMULATION_SEEDS ?? 60) }, (_, index) => index + 1);
  let lateAdoptions = 0;
  let groups = 0;
  it.each(seeds)('commit every batch exactly once and recover to the model (seed %i)', async (seed) => {
    const result = await simulate(seed, 1 + (seed % 3), 60);
    expect(result.batches).toBeGreaterThan(0);
    lateAdoptions += result.lateAdoptions;
    groups += result.groups;
    if (process.env.SIMULATION_VERBOSE) console.log(seed, JSON.stringify(result));
  });

  it('met groups, and manifests that a later record than the next one adopted', () => {
    expect(lateAdoptions).toBeGreaterThan(seeds.length / 2);
    expect(groups).toBeGreaterThan(seeds.length);
  });
});
