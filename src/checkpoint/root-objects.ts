import { TidemarkError } from '../base/errors.ts';
import { encodeValue } from '../base/value-codec.ts';
import type { GetOutcome, HeadOutcome, ObjectStore } from '../storage/object-store.ts';
import { corrupt } from './corruption.ts';
import { type DecodedFrame, decodeFrame, type EncodedFrame, encodeFrame, type FrameKind, zeroHash } from './frame.ts';
import type { ManifestReference } from './log-record.ts';
import { floorName, formatName, hintName } from './object-names.ts';
import { decodeSection, section } from './record-codec.ts';
import { floorShape, formatShape, hintShape, requireShape } from './stored-shapes.ts';

/** The three single objects of a checkpoint: `format` (created once), `hint` (advisory), `gc/floor` (only rises). */
const contentTag = 1;
const knownTags: ReadonlySet<number> = new Set([contentTag]);
const noId = '0'.repeat(32);

export interface StreamFormat {
  readonly streamId: string;
  /** Of the format object: the chain of records starts from it. */
  readonly hash: string;
}

export interface Hint {
  readonly streamId: string;
  readonly manifest: ManifestReference | undefined;
  /** A record that surely existed when the hint was written. */
  readonly tailSlot: number;
}

/** An object that is replaced by compare-and-swap: `etag` undefined means it is missing. */
export interface Register<T> {
  readonly value: T;
  readonly etag: string | undefined;
}

export function encodeFormat(streamId: string, commitId: string): EncodedFrame {
  // The algorithms are named so that a later format can change them and still tell what it reads.
  return encodeRoot('format', 0, commitId, {
    streamId,
    hash: 'sha-256',
    checksum: 'crc-32',
    values: 'tidemark-value-1',
  });
}

export async function readFormat(store: ObjectStore): Promise<StreamFormat | undefined> {
  const outcome = await store.get(formatName);
  if (outcome.status === 'missing') return undefined;
  const { frame, value } = decodeRoot(formatName, 'format', outcome.bytes);
  requireShape(formatName, 'format', value, formatShape);
  return { streamId: (value as { readonly streamId: string }).streamId, hash: frame.hash };
}

const noHint: Register<Hint | undefined> = { value: undefined, etag: undefined };

/** A hint that can't be read counts as none: it only shortens the way to the tail. */
export async function readHint(store: ObjectStore): Promise<Register<Hint | undefined>> {
  let outcome: GetOutcome;
  try {
    outcome = await store.get(hintName);
  } catch (error) {
    // An encrypted store finds the damage itself.
    if (error instanceof TidemarkError && error.code === 'CHECKPOINT_CORRUPT') return noHint;
    throw error;
  }
  if (outcome.status === 'missing') return noHint;
  try {
    return { value: decodeHint(outcome.bytes), etag: outcome.etag };
  } catch (error) {
    if (error instanceof TidemarkError) return { value: undefined, etag: outcome.etag };
    throw error;
  }
}

/** @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPATIBLE */
export function decodeHint(bytes: Uint8Array): Hint {
  const { value } = decodeRoot(hintName, 'hint', bytes);
  requireShape(hintName, 'hint', value, hintShape);
  const hint = value as Omit<Hint, 'manifest'> & { readonly manifest: ManifestReference | null };
  return { ...hint, manifest: hint.manifest ?? undefined };
}

/**
 * Replaces the hint. Nothing depends on it: when another driver replaced it or the store doesn't answer, the old one
 * stays and costs the next start some reads.
 *
 * @param etag of the hint in the store; undefined: not known.
 * @returns the new etag, undefined when it was not replaced.
 */
export async function writeHint(
  store: ObjectStore,
  hint: Hint,
  etag: string | undefined,
  commitId: string,
): Promise<string | undefined> {
  const value = { ...hint, manifest: hint.manifest ?? null };
  try {
    const { bytes } = encodeRoot('hint', hint.tailSlot, commitId, value);
    const knownEtag = etag ?? (await store.head(hintName).then(etagOf));
    const outcome = await store.compareAndSwap(hintName, bytes, knownEtag, commitId);
    return outcome.status === 'done' ? outcome.etag : undefined;
  } catch (error) {
    if (error instanceof TidemarkError) return undefined;
    throw error;
  }
}

function etagOf(outcome: HeadOutcome): string | undefined {
  return outcome.status === 'found' ? outcome.etag : undefined;
}

/** Missing is 0: nothing was deleted yet. @throws CHECKPOINT_CORRUPT */
export async function readFloor(store: ObjectStore): Promise<Register<number> & { readonly serverTimeMs: number }> {
  const outcome = await store.get(floorName);
  const { serverTimeMs } = outcome;
  if (outcome.status === 'missing') return { value: 0, etag: undefined, serverTimeMs };
  const { value } = decodeRoot(floorName, 'floor', outcome.bytes);
  requireShape(floorName, 'floor', value, floorShape);
  return { value: (value as { readonly floor: number }).floor, etag: outcome.etag, serverTimeMs };
}

export function encodeFloor(floor: number, commitId: string): EncodedFrame {
  return encodeRoot('floor', floor, commitId, { floor });
}

export function encodeRoot(kind: FrameKind, slot: number, commitId: string, value: unknown): EncodedFrame {
  const header = { kind, slot, epoch: 0, driverId: noId, commitId, previousHash: zeroHash };
  return encodeFrame(header, [section(contentTag, [encodeValue(value)])]);
}

export function decodeRoot(
  name: string,
  kind: FrameKind,
  bytes: Uint8Array,
): { readonly frame: DecodedFrame; readonly value: unknown } {
  const frame = decodeFrame(name, bytes, knownTags);
  if (frame.header.kind !== kind) throw corrupt(name, `a ${frame.header.kind} object stands in its place`);
  return { frame, value: decodeSection(name, frame.sections, contentTag) };
}
