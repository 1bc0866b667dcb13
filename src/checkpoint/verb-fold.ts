import { corrupt } from './corruption.ts';
import type { PinRecord, RewindRecord, SeedRecord, UnpinRecord } from './log-record.ts';
import { logName } from './object-names.ts';
import type { Savepoint, StreamStatus } from './records.ts';

/**
 * The stream after a record that an operator asked for; the part of the fold (status-fold) that runs rarely.
 *
 * Invariants
 *   V1. A savepoint describes the stream right before its Pin record: last batch, slot and hash come from the record's place.
 *   V2. A rewind takes a batch id and a new generation, so that (generation, batch id) never names two contents.
 *   V3. What the batches after the point of a rewind had staged and not published is given up; what batches up to that
 *       point staged is still to be published.
 *   V4. Sinks that have not heard of a rewind yet are told of the earliest point since they did: one may have gone back to
 *       where another had ended, or to what was imported after it.
 */
export function statusAfterPin(status: StreamStatus, record: PinRecord): StreamStatus {
  const { slot, pin, links, previousHash } = record;
  const { lastBatch } = status;
  if (lastBatch === undefined) throw corrupt(logName(slot), 'it pins a stream without a batch');
  if (status.savepoints.some(({ name }) => name === pin.name)) {
    throw corrupt(logName(slot), `it pins "${pin.name}" a second time`);
  }
  const savepoint: Savepoint = {
    ...pin,
    ...lastBatch,
    generation: status.generation,
    slot: slot - 1,
    hash: previousHash,
    manifest: links.manifest ?? null,
    isAbandoned: false,
  };
  return { ...status, tailSlot: slot, savepoints: [...status.savepoints, savepoint], drained: false };
}

export function statusAfterUnpin(status: StreamStatus, { slot, name }: UnpinRecord): StreamStatus {
  const savepoints = status.savepoints.filter((savepoint) => savepoint.name !== name);
  if (savepoints.length === status.savepoints.length) {
    throw corrupt(logName(slot), `it unpins "${name}", which is not pinned`);
  }
  return { ...status, tailSlot: slot, savepoints, drained: false };
}

export function statusAfterRewind(status: StreamStatus, { slot, rewind }: RewindRecord): StreamStatus {
  const { batchId, batchTimeMs, toBatchId, generation, positions, fingerprints, graph } = rewind;
  const { openRewind } = status;
  const last = status.lastBatch?.batchId ?? 0;
  if (batchId !== last + 1 || toBatchId > last) {
    throw corrupt(logName(slot), `it takes id ${batchId} and goes back to batch ${toBatchId} after batch ${last}`);
  }
  if (generation !== status.generation + 1) {
    throw corrupt(logName(slot), `it begins generation ${generation} after generation ${status.generation}`);
  }
  return {
    ...status,
    tailSlot: slot,
    generation,
    lastBatch: { batchId, batchTimeMs },
    positions,
    fingerprints,
    graph,
    plan: undefined,
    unpublished: status.unpublished.filter((handle) => handle.batchId <= toBatchId), // V3
    savepoints: status.savepoints.map((savepoint) => {
      return savepoint.batchId > toBatchId ? { ...savepoint, isAbandoned: true } : savepoint;
    }),
    openRewind:
      openRewind !== undefined && openRewind.toBatchId < toBatchId
        ? { ...openRewind, generation } // V4
        : { toBatchId, batchTimeMs, generation },
    drained: false,
  };
}

export function statusAfterSeed(status: StreamStatus, { slot, seed }: SeedRecord): StreamStatus {
  const { batchId, batchTimeMs, positions, fingerprints, graph } = seed;
  const last = status.lastBatch?.batchId;
  // A stream without a batch may begin with any id: a fork goes on with those of its parent.
  const fits = last === undefined || batchId === last + 1;
  if (!fits) throw corrupt(logName(slot), `it takes id ${batchId} after batch ${last}`);
  return {
    ...status,
    tailSlot: slot,
    lastBatch: batchId === null ? undefined : { batchId, batchTimeMs },
    positions,
    fingerprints,
    graph,
    plan: undefined,
    drained: false,
  };
}
