import { positiveInteger } from '../base/options.ts';
import type { LogRecord, ManifestReference } from '../checkpoint/log-record.ts';
import { logName } from '../checkpoint/object-names.ts';
import { readStream } from '../checkpoint/read-checkpoint.ts';
import type { StreamStatus } from '../checkpoint/records.ts';
import { segmentsOf } from '../checkpoint/stored-contents.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type CheckpointTarget, noStream, type WalkOptions, withCheckpoint } from './checkpoint-target.ts';
import { onSteadyFloor, readRecords, readRetainedLog } from './retained-log.ts';
import { readStoredGraph } from './stored-graph.ts';
import type { ObjectKind, StoredObject } from './stored-objects.ts';

export interface InspectOptions extends WalkOptions {
  /** How many of the newest records are listed. Default 20. */
  readonly records?: number | undefined;
}

/** What a checkpoint holds, for people and dashboards. Times are milliseconds since the Unix epoch. */
export interface CheckpointReport {
  readonly url: string;
  readonly stream: {
    readonly streamId: string;
    readonly generation: number;
    /** Slot of the newest fence: which driver has, or had, the stream. */
    readonly epoch: number;
    /** The last driver stopped cleanly. */
    readonly drained: boolean;
    readonly tailSlot: number;
    /** Records up to here are gone. */
    readonly floor: number;
    readonly zeroTimeMs: number;
    readonly batchIntervalMs: number | undefined;
    readonly lastBatch: { readonly batchId: number; readonly batchTimeMs: number } | undefined;
    /** Recorded for the next batch: it will read exactly these ranges. */
    readonly plannedBatch: { readonly batchId: number; readonly batchTimeMs: number } | undefined;
  };
  /** Oldest first. */
  readonly records: readonly RecordRow[];
  readonly operators: readonly OperatorRow[];
  readonly sources: readonly SourceRow[];
  /** Committed output that no receipt says is published: the next start publishes it. */
  readonly unpublished: readonly {
    readonly uid: string;
    readonly description: string;
    readonly batchId: number;
    readonly batchTimeMs: number;
  }[];
  /** Oldest first. */
  readonly savepoints: readonly SavepointRow[];
  /** Kept ones, oldest first; the last is in force. */
  readonly manifests: readonly ManifestRow[];
  readonly objects: readonly { readonly kind: ObjectKind; readonly count: number; readonly bytes: number }[];
}

export interface RecordRow {
  readonly slot: number;
  readonly kind: LogRecord['kind'];
  readonly epoch: number;
  /** Of the last batch in the record, or of the batch a plan is for. */
  readonly batchId: number | undefined;
  readonly batchTimeMs: number | undefined;
  /** How many batches it made durable together; `batchId` is the last of them. */
  readonly batches: number;
  /** By the store's clock. */
  readonly writtenMs: number;
  readonly bytes: number;
  /** Changes of state, in the record and in segments. */
  readonly stateBytes: number;
  readonly segments: number;
  readonly staged: number;
  readonly published: number;
  /** It adopts a manifest. */
  readonly adopts: string | undefined;
}

export interface OperatorRow {
  readonly uid: string;
  readonly operator: string;
  /** Over all panes of a window. */
  readonly keys: number;
  /** In the manifest in force: whole state, and changes on top of it. */
  readonly baseBytes: number;
  readonly deltaBytes: number;
  /** In the records after it. */
  readonly recentBytes: number;
  readonly fingerprint: string;
}

export interface SourceRow {
  readonly uid: string;
  readonly kind: string;
  readonly identity: Readonly<Record<string, string>>;
  /** Where the next batch starts reading, as the source keeps it. */
  readonly position: unknown;
  /** Of the recorded plan. */
  readonly planned: unknown;
}

/** A batch that is kept until its savepoint is removed. */
export interface SavepointRow {
  readonly name: string;
  readonly batchId: number;
  readonly batchTimeMs: number;
  /** By the store's clock. */
  readonly madeMs: number;
  readonly generation: number;
  /** A rewind went back behind it: it can be forked, not rewound to. */
  readonly isAbandoned: boolean;
}

export function savepointRows({ savepoints }: Pick<StreamStatus, 'savepoints'>): readonly SavepointRow[] {
  return savepoints.map(({ name, batchId, batchTimeMs, pinnedMs, generation, isAbandoned }) => {
    return { name, batchId, batchTimeMs, madeMs: pinnedMs, generation, isAbandoned };
  });
}

export interface ManifestRow {
  readonly name: string;
  readonly slot: number;
  readonly writtenMs: number;
  readonly bytes: number;
  readonly inForce: boolean;
}

/**
 * Reads what a start would read, and the newest records.
 * @throws CHECKPOINT_MISSING, CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPATIBLE, OPTION_INVALID, what the store throws
 */
export function inspectCheckpoint(target: CheckpointTarget, options: InspectOptions = {}): Promise<CheckpointReport> {
  const recordsMax = positiveInteger('records', options.records ?? 20);
  return withCheckpoint(target, options, (store) => onSteadyFloor(store, () => inspect(store, recordsMax, options)));
}

async function inspect(
  store: ObjectStore,
  recordsMax: number,
  { onProgress }: InspectOptions,
): Promise<CheckpointReport> {
  const stream = await readStream(store, 'by hint');
  if (stream === undefined) throw noStream(store);
  const { status, manifest } = stream;
  const { objects, floor } = await readRetainedLog(store);
  const graph = readStoredGraph(status.graph);

  const manifestSlot = manifest?.slot ?? 0;
  const firstListed = Math.max(floor + 1, status.tailSlot - recordsMax + 1);
  const rows: RecordRow[] = [];
  const recentBytes = new Map<string, number>();
  // From one before: whether a record adopts a manifest shows in the record before it.
  const from = Math.max(floor + 1, Math.min(firstListed - 1, manifestSlot + 1));
  let before: LogRecord | undefined;
  for await (const { record, bytes } of readRecords(store, from, status.tailSlot, onProgress)) {
    if (record.slot >= firstListed) rows.push(recordRow(record, before, bytes, objects.get(logName(record.slot))));
    before = record;
    if (record.slot <= manifestSlot || record.kind !== 'batch') continue;
    for (const { uid, lengthBytes } of record.batches.flatMap(({ deltas }) => deltas)) {
      recentBytes.set(uid, (recentBytes.get(uid) ?? 0) + lengthBytes);
    }
  }
  const extentBytes = (uid: string, kind: 'base' | 'delta'): number => {
    const extents = (manifest?.extents ?? []).filter((extent) => extent.uid === uid && extent.kind === kind);
    return extents.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  };
  return {
    url: store.url,
    stream: {
      streamId: status.streamId,
      generation: status.generation,
      epoch: status.epoch,
      drained: status.drained,
      tailSlot: status.tailSlot,
      floor,
      zeroTimeMs: status.zeroTimeMs,
      batchIntervalMs: graph.batchIntervalMs,
      lastBatch: status.lastBatch,
      plannedBatch: status.plan && { batchId: status.plan.batchId, batchTimeMs: status.plan.batchTimeMs },
    },
    records: rows,
    operators: Object.entries(status.fingerprints).map(([uid, fingerprint]) => ({
      uid,
      operator: graph.stateful.get(uid) ?? '',
      keys: Number(/^\d+/.exec(fingerprint)?.[0] ?? 0),
      baseBytes: extentBytes(uid, 'base'),
      deltaBytes: extentBytes(uid, 'delta'),
      recentBytes: recentBytes.get(uid) ?? 0,
      fingerprint,
    })),
    sources: Object.entries(status.positions).map(([uid, position]) => ({
      uid,
      kind: graph.sources.get(uid)?.kind ?? '',
      identity: graph.sources.get(uid)?.identity ?? {},
      position,
      planned: status.plan?.sources[uid],
    })),
    unpublished: status.unpublished.map(({ uid, batchId, batchTimeMs }) => {
      return { uid, description: graph.outputs.get(uid) ?? '', batchId, batchTimeMs };
    }),
    savepoints: savepointRows(status),
    manifests: manifestRows(stream.manifestReference, manifest?.history ?? [], objects),
    objects: countByKind(objects.values()),
  };
}

function recordRow(
  record: LogRecord,
  before: LogRecord | undefined,
  bytes: number,
  object: StoredObject | undefined,
): RecordRow {
  const batches = record.kind === 'batch' ? record.batches : [];
  const { batchId, batchTimeMs } = (record.kind === 'plan' ? record.plan : batches.at(-1)) ?? {};
  const { manifest } = record.links;
  const receipts = record.kind === 'batch' || record.kind === 'drain' ? record.receipts : [];
  return {
    slot: record.slot,
    kind: record.kind,
    epoch: record.epoch,
    batchId,
    batchTimeMs,
    batches: batches.length,
    writtenMs: object?.modifiedMs ?? 0,
    bytes,
    stateBytes: batches.flatMap(({ deltas }) => deltas).reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
    segments: segmentsOf(record).size,
    staged: batches.reduce((sum, { handles }) => sum + handles.length, 0),
    published: receipts.length,
    adopts: adopts(record, before) ? manifest?.name : undefined,
  };
}

/** A fence repeats what the record before it said. The first record above the floor is told by its distance. */
function adopts({ slot, links: { manifest } }: LogRecord, before: LogRecord | undefined): boolean {
  if (manifest === undefined) return false;
  return before === undefined ? manifest.slot === slot - 1 : before.links.manifest?.name !== manifest.name;
}

function manifestRows(
  inForce: ManifestReference | undefined,
  history: readonly { readonly name: string; readonly slot: number }[],
  objects: ReadonlyMap<string, StoredObject>,
): readonly ManifestRow[] {
  if (inForce === undefined) return [];
  return [...history, inForce]
    .filter(({ name }) => objects.has(name))
    .map(({ name, slot }) => {
      const { modifiedMs, sizeBytes } = objects.get(name)!;
      return { name, slot, writtenMs: modifiedMs, bytes: sizeBytes, inForce: name === inForce.name };
    });
}

function countByKind(objects: Iterable<StoredObject>): CheckpointReport['objects'] {
  const kinds = new Map<ObjectKind, { count: number; bytes: number }>();
  for (const { kind, sizeBytes } of objects) {
    const sum = kinds.get(kind) ?? { count: 0, bytes: 0 };
    kinds.set(kind, { count: sum.count + 1, bytes: sum.bytes + sizeBytes });
  }
  return [...kinds].map(([kind, sum]) => ({ kind, ...sum }));
}
