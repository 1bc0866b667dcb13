import { describe, expect, it } from 'vitest';
import type { LogRecord, RecordPlace } from '../../../src/checkpoint/log-record.ts';
import { decodeRecord, encodeRecord } from '../../../src/checkpoint/record-codec.ts';
import type { RewindContent, StreamStatus } from '../../../src/checkpoint/records.ts';
import { emptyStatus, statusAfter } from '../../../src/checkpoint/status-fold.ts';

const manifest = { name: 'man/x', hash: 'c'.repeat(64), slot: 6 };

function place(slot: number): RecordPlace {
  return {
    slot,
    epoch: 1,
    driverId: '1'.repeat(32),
    commitId: '2'.repeat(32),
    previousHash: 'a'.repeat(64),
    links: { manifest, previousFence: 1, floor: 0 },
  };
}

function at(batchId: number, more: Partial<StreamStatus> = {}): StreamStatus {
  return {
    ...emptyStatus('0'.repeat(32)),
    epoch: 1,
    tailSlot: batchId + 1,
    lastBatch: { batchId, batchTimeMs: batchId * 1000 },
    positions: { in: batchId },
    fingerprints: { op: `f${batchId}` },
    ...more,
  };
}

const back: RewindContent = {
  batchId: 9,
  batchTimeMs: 5000,
  positions: { in: 5 },
  fingerprints: { op: 'f5' },
  graph: { old: true },
  toBatchId: 5,
  generation: 1,
};

const pin = { name: 'before', requestId: null, pinnedMs: 77 };

describe('records an operator asks for', () => {
  it.each<LogRecord>([
    { ...place(7), kind: 'pin', pin },
    { ...place(7), kind: 'unpin', name: 'before' },
    { ...place(7), kind: 'rewind', rewind: back },
    { ...place(7), kind: 'seed', seed: { ...back, batchId: null, origin: 'positions' } },
  ])('are read back as they were written: $kind', (record) => {
    const { bytes, hash } = encodeRecord(record);
    const read = decodeRecord(7, bytes);
    expect(read.hash).toBe(hash);
    expect(JSON.parse(JSON.stringify(read.record))).toMatchObject(JSON.parse(JSON.stringify(record)));
  });

  it('a pin holds the stream right before it, and a name once', () => {
    const status = statusAfter(at(8), { ...place(10), kind: 'pin', pin });
    expect(status.savepoints).toEqual([
      {
        ...pin,
        batchId: 8,
        batchTimeMs: 8000,
        generation: 0,
        slot: 9,
        hash: 'a'.repeat(64),
        manifest,
        isAbandoned: false,
      },
    ]);
    expect(() => statusAfter(status, { ...place(11), kind: 'pin', pin })).toThrow(/a second time/);
    expect(statusAfter(status, { ...place(11), kind: 'unpin', name: 'before' }).savepoints).toEqual([]);
    expect(() => statusAfter(status, { ...place(11), kind: 'unpin', name: 'after' })).toThrow(/not pinned/);
    expect(() => statusAfter(at(8, { lastBatch: undefined }), { ...place(10), kind: 'pin', pin })).toThrow(
      /no batch|without a batch/,
    );
  });

  it('a rewind goes back in everything but the ids, and keeps the output of what still counts', () => {
    const handle = (batchId: number) => ({ uid: 'out', batchId, batchTimeMs: batchId * 1000, handle: batchId });
    const planned = { batchId: 9, batchTimeMs: 9000, sources: {} };
    const before = at(8, { unpublished: [handle(5), handle(6)], plan: planned });
    const pinned = statusAfter(before, { ...place(10), kind: 'pin', pin });
    const status = statusAfter(pinned, { ...place(11), kind: 'rewind', rewind: back });
    expect(status).toMatchObject({
      generation: 1,
      lastBatch: { batchId: 9, batchTimeMs: 5000 },
      positions: { in: 5 },
      fingerprints: { op: 'f5' },
      graph: { old: true },
      plan: undefined,
      unpublished: [handle(5)],
      openRewind: { toBatchId: 5, batchTimeMs: 5000, generation: 1 },
      savepoints: [{ name: 'before', isAbandoned: true }],
    });
    const next = {
      batchId: 10,
      batchTimeMs: 6000,
      positions: {},
      handles: [],
      deltas: [],
      outputs: [],
    };
    const record: LogRecord = { ...place(12), kind: 'batch', batches: [next], receipts: [], plan: undefined };
    const after = statusAfter(status, record);
    expect(after.openRewind).toBeUndefined();
    expect(after.generation).toBe(1);
  });

  it.each([
    [{ batchId: 10 }, /takes id 10 and goes back to batch 5 after batch 8/],
    [{ toBatchId: 9 }, /goes back to batch 9/],
    [{ generation: 2 }, /begins generation 2 after generation 0/],
  ])('a rewind that does not follow is damage: %j', (wrong, message) => {
    const record: LogRecord = { ...place(10), kind: 'rewind', rewind: { ...back, ...wrong } };
    expect(() => statusAfter(at(8), record)).toThrow(message);
  });

  it('a seed begins a stream with the id of its parent, or gives another place to go on from', () => {
    const fence = { ...emptyStatus('0'.repeat(32)), epoch: 1, tailSlot: 1 };
    const seed = { ...back, batchId: 40, origin: 'a fork' };
    expect(statusAfter(fence, { ...place(2), kind: 'seed', seed })).toMatchObject({
      generation: 0,
      lastBatch: { batchId: 40, batchTimeMs: 5000 },
      positions: { in: 5 },
    });
    const positions = statusAfter(fence, { ...place(2), kind: 'seed', seed: { ...seed, batchId: null } });
    expect(positions).toMatchObject({ lastBatch: undefined, positions: { in: 5 } });
    expect(() => statusAfter(at(8), { ...place(10), kind: 'seed', seed })).toThrow(/takes id 40 after batch 8/);
    expect(statusAfter(at(8), { ...place(10), kind: 'seed', seed: { ...seed, batchId: 9 } }).lastBatch?.batchId).toBe(
      9,
    );
  });
});
