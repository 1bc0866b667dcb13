import type { ObjectStore } from '../storage/object-store.ts';
import { corrupt } from './corruption.ts';
import type { LogRecord, ManifestReference } from './log-record.ts';
import { readManifest } from './manifest-codec.ts';
import { mapBounded } from './map-bounded.ts';
import { logName } from './object-names.ts';
import { decodeRecord } from './record-codec.ts';
import type { StreamFormat } from './root-objects.ts';
import { RecoveredStream } from './stream-checkpoint.ts';

const readsMax = 16;

/** Where a batch stands in the log, and what it is put together from. */
export interface PointPlace {
  /** A manifest not newer than the batch and not older than the last rewind before it; null: there is none, all records count. */
  readonly base: ManifestReference | null;
  /** The record the stream is read up to. */
  readonly slot: number;
  /** The last batch of that record that counts. Undefined: all of them. */
  readonly lastBatchId?: number | undefined;
}

/**
 * The stream as it was after an earlier record: status, and where its state lies.
 * @throws CHECKPOINT_CORRUPT when anything of it is missing or damaged
 */
export async function readPoint(
  store: ObjectStore,
  format: StreamFormat,
  { base, slot, lastBatchId }: PointPlace,
): Promise<RecoveredStream> {
  const stream = new RecoveredStream(store, format);
  if (base !== null) {
    const manifest = await readManifest(store, base, format.streamId);
    if (manifest === undefined) throw corrupt(base.name, 'it is missing, and the log refers to it');
    stream.startFrom(base, manifest);
  }
  for (let start = (base?.slot ?? 0) + 1; start <= slot; start += readsMax) {
    const slots = Array.from({ length: Math.min(readsMax, slot - start + 1) }, (_, index) => start + index);
    const window = await mapBounded(slots, readsMax, (one) => store.get(logName(one)));
    for (const [index, outcome] of window.entries()) {
      const name = logName(start + index);
      if (outcome.status === 'missing') throw corrupt(name, 'it is missing');
      const { record, hash } = decodeRecord(start + index, outcome.bytes);
      stream.append(record.slot === slot ? upTo(record, lastBatchId) : record, hash);
    }
  }
  return stream;
}

/** A record as if its later batches had not been in it; nothing is read after it. */
function upTo(record: LogRecord, lastBatchId: number | undefined): LogRecord {
  if (record.kind !== 'batch' || lastBatchId === undefined) return record;
  const batches = record.batches.filter(({ batchId }) => batchId <= lastBatchId);
  return { ...record, batches, plan: undefined };
}
