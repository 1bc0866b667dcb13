import type { ObjectStore } from '../storage/object-store.ts';
import type { CheckpointSettings } from './checkpoint-options.ts';
import type { Content } from './content.ts';
import { writeExtents } from './extent-writer.ts';
import type { LogRecord, StoredDelta, StoredOutput } from './log-record.ts';
import type { BatchCommit } from './records.ts';

/** Deltas and outputs of one batch as its record will name them: all of them inline, or all of them in segments. */
export interface StoredContents {
  readonly deltas: readonly StoredDelta[];
  readonly outputs: readonly StoredOutput[];
  /** Names of the segments. */
  readonly segments: readonly string[];
  readonly segmentBytes: number;
}

/** Segments the record refers to. */
export function segmentsOf(record: LogRecord): ReadonlySet<string> {
  const names = new Set<string>();
  if (record.kind !== 'batch') return names;
  for (const { content } of record.batches.flatMap(({ deltas, outputs }) => [...deltas, ...outputs])) {
    if (content.kind === 'parts') for (const { object } of content.parts) names.add(object);
  }
  return names;
}

export function contentBytes({ deltas, outputs = [] }: BatchCommit): number {
  return [...deltas, ...outputs].reduce((sum, { bytes }) => sum + bytes.length, 0);
}

export function inlineContents(batch: BatchCommit): StoredContents {
  return { ...storedContents(batch, (bytes) => ({ kind: 'inline', bytes })), segments: [], segmentBytes: 0 };
}

/** Uploads everything of the batch into segments. They count once its record names them. */
export async function segmentContents(
  store: ObjectStore,
  settings: CheckpointSettings,
  batch: BatchCommit,
  nameOf: (index: number, id: string) => string,
): Promise<StoredContents> {
  const extents = [...batch.deltas, ...(batch.outputs ?? [])];
  const { parts, objects } = await writeExtents(store, settings, extents, Number.POSITIVE_INFINITY, nameOf);
  await settings.crashHook('commit:segments-written');
  const contents = storedContents(batch, (_bytes, index) => ({ kind: 'parts', parts: parts[index]! }));
  return { ...contents, segments: objects, segmentBytes: contentBytes(batch) };
}

function storedContents(
  { deltas, outputs = [] }: BatchCommit,
  contentOf: (bytes: Uint8Array, index: number) => Content,
): Pick<StoredContents, 'deltas' | 'outputs'> {
  return {
    deltas: deltas.map(({ uid, fingerprint, bytes }, index): StoredDelta => {
      return { uid, fingerprint, lengthBytes: bytes.length, content: contentOf(bytes, index) };
    }),
    outputs: outputs.map(({ uid, bytes }, index): StoredOutput => {
      return { uid, lengthBytes: bytes.length, content: contentOf(bytes, deltas.length + index) };
    }),
  };
}
