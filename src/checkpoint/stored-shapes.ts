import { bucketCount } from '../base/buckets.ts';
import { corrupt } from './corruption.ts';

/**
 * What the engine relies on in decoded content, checked once where it is decoded. Checksums prove that bytes are as they
 * were written; the shapes prove that what was written is what the engine reads, whoever wrote it. More fields than these
 * are fine. Opaque parts (positions, handles, graphs) are checked by those who know them.
 */
export type Shape = (value: unknown, path: string) => string | undefined;

/** @throws CHECKPOINT_CORRUPT naming the first part of the content that is something else. */
export function requireShape(name: string, what: string, value: unknown, shape: Shape): void {
  const problem = shape(value, what);
  if (problem !== undefined) throw corrupt(name, problem);
}

const anything: Shape = () => undefined;
const text: Shape = (value, path) => (typeof value === 'string' ? undefined : `${path} is no text`);
const flag: Shape = (value, path) => (typeof value === 'boolean' ? undefined : `${path} is neither true nor false`);
/** From 0. */
const count: Shape = (value, path) =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? undefined : `${path} is no whole number from 0`;
const time: Shape = (value, path) => (Number.isFinite(value) ? undefined : `${path} is no time`);

const orNull =
  (shape: Shape): Shape =>
  (value, path) =>
    value === null ? undefined : shape(value, path);
const orNone =
  (shape: Shape): Shape =>
  (value, path) =>
    value === undefined ? undefined : shape(value, path);
const oneOf =
  (...texts: readonly string[]): Shape =>
  (value, path) =>
    texts.includes(value as string) ? undefined : `${path} is none of ${texts.join(', ')}`;

const listOf =
  (shape: Shape): Shape =>
  (value, path) => {
    if (!Array.isArray(value)) return `${path} is no list`;
    for (let i = 0; i < value.length; i++) {
      const problem = shape(value[i], `${path}[${i}]`);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

const recordOf =
  (shape: Shape): Shape =>
  (value, path) => {
    if (!isPlain(value)) return `${path} is no object`;
    for (const key of Object.keys(value)) {
      const problem = shape(value[key], `${path}.${key}`);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };

const fields =
  (shapes: Readonly<Record<string, Shape>>): Shape =>
  (value, path) => {
    if (!isPlain(value)) return `${path} is no object`;
    for (const key in shapes) {
      // A name such as toString must not be found on the prototype.
      const problem = shapes[key]!(Object.hasOwn(value, key) ? value[key] : undefined, `${path}.${key}`);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };

const buckets: Shape = (value, path) => {
  if (!isPlain(value)) return `${path} is no object`;
  const { from, to } = value as { readonly from: number; readonly to: number };
  const isRange = Number.isSafeInteger(from) && Number.isSafeInteger(to) && 0 <= from && from < to && to <= bucketCount;
  return isRange ? undefined : `${path} is no range of buckets`;
};
const summary = fields({ fingerprint: text });
const parts = listOf(fields({ object: text, offset: count, length: count, sha256: text }));
const reference = fields({ name: text, hash: text, slot: count });
const receipts = listOf(fields({ uid: text, batchId: count }));
const planShape: Shape = fields({ batchId: count, batchTimeMs: time, sources: recordOf(anything) });
const handle = { uid: text, batchId: count, batchTimeMs: time };
const entry = { uid: text, lengthBytes: count, parts: orNull(parts) };
const point = { batchTimeMs: time, positions: recordOf(anything), fingerprints: recordOf(text) };

const rows: Shape = (value, path) => {
  if (!isPlain(value)) return `${path} is no object`;
  if (value.kind === 'parts') return parts(value.parts, `${path}.parts`);
  return value.kind === 'inline' && value.bytes instanceof Uint8Array ? undefined : `${path} has no content`;
};

export const linksShape: Shape = fields({ manifest: orNull(reference), previousFence: count, floor: count });

/** By kind of record. */
export const recordShapes: Readonly<Record<string, Shape>> = {
  fence: fields({ zeroTimeMs: time }),
  plan: planShape,
  drain: receipts,
  pin: fields({ name: text, requestId: orNull(text), pinnedMs: time }),
  unpin: text,
  rewind: fields({ ...point, batchId: count, toBatchId: count, generation: count }),
  seed: fields({ ...point, batchId: orNull(count), origin: text }),
  batch: fields({
    batches: listOf(
      fields({
        batchId: count,
        batchTimeMs: time,
        positions: recordOf(anything),
        handles: listOf(fields(handle)),
        deltas: listOf(fields({ ...entry, fingerprint: text })),
        outputs: listOf(fields(entry)),
      }),
    ),
    receipts,
    plan: orNull(planShape),
  }),
};

const statusShape = fields({
  streamId: text,
  generation: count,
  zeroTimeMs: time,
  tailSlot: count,
  epoch: count,
  lastBatch: orNone(fields({ batchId: count, batchTimeMs: time })),
  positions: recordOf(anything),
  plan: orNone(planShape),
  unpublished: listOf(fields({ ...handle, rows: orNone(rows) })),
  fingerprints: recordOf(text),
  drained: flag,
  savepoints: listOf(
    fields({
      name: text,
      pinnedMs: time,
      batchId: count,
      batchTimeMs: time,
      generation: count,
      slot: count,
      hash: text,
      manifest: orNull(reference),
    }),
  ),
  openRewind: orNone(fields({ toBatchId: count, batchTimeMs: time, generation: count })),
});

export const manifestShape: Shape = fields({
  serverTimeMs: time,
  status: statusShape,
  stateFingerprints: orNone(recordOf(text)),
  extents: listOf(
    fields({ uid: text, kind: oneOf('base', 'delta'), buckets, summary: orNone(summary), lengthBytes: count, parts }),
  ),
  history: listOf(fields({ name: text, slot: count, serverTimeMs: time })),
  retired: listOf(fields({ object: text, slot: count })),
});

export const formatShape: Shape = fields({ streamId: text });
export const hintShape: Shape = fields({ streamId: text, manifest: orNull(reference), tailSlot: count });
export const floorShape: Shape = fields({ floor: count });
export const requestShape: Shape = fields({
  kind: oneOf('savepoint', 'unpin', 'drain'),
  name: orNone(text),
  slot: orNone(count),
  epoch: orNone(count),
  untilMs: orNone(time),
});
