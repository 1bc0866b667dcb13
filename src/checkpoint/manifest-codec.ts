import { encodeValue } from '../base/value-codec.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { corrupt } from './corruption.ts';
import { decodeFrame, type EncodedFrame, encodeFrame } from './frame.ts';
import type { Manifest, ManifestReference } from './log-record.ts';
import { decodeSection, section } from './record-codec.ts';
import { manifestShape, requireShape } from './stored-shapes.ts';

const contentTag = 1;
/** By themselves: a list of many rows of one shape is a third as long as inside of another value. */
const extentsTag = 2;
const knownTags: ReadonlySet<number> = new Set([contentTag, extentsTag]);

export function encodeManifest(manifest: Manifest, driverId: string, commitId: string): EncodedFrame {
  const { slot, epoch, recordHash, extents, ...content } = manifest;
  const header = { kind: 'manifest' as const, slot, epoch, driverId, commitId, previousHash: recordHash };
  return encodeFrame(header, [
    section(contentTag, [encodeValue(content)]),
    section(extentsTag, [encodeValue(extents)]),
  ]);
}

/**
 * @param streamId undefined: not known, the manifest may be of any.
 * @returns undefined when the object is missing: the caller knows whether that is damage.
 * @throws CHECKPOINT_CORRUPT when it is not the one the reference names.
 */
export async function readManifest(
  store: ObjectStore,
  reference: ManifestReference,
  streamId: string | undefined,
): Promise<Manifest | undefined> {
  const { name } = reference;
  const outcome = await store.get(name);
  if (outcome.status === 'missing') return undefined;
  const { header, hash, sections } = decodeFrame(name, outcome.bytes, knownTags);
  if (hash !== reference.hash) throw corrupt(name, `its hash is ${hash}, the log refers to ${reference.hash}`);
  if (header.kind !== 'manifest' || header.slot !== reference.slot) {
    throw corrupt(name, `it is a ${header.kind} of slot ${header.slot}, not the manifest of slot ${reference.slot}`);
  }
  const content = decodeSection(name, sections, contentTag) as Omit<
    Manifest,
    'slot' | 'epoch' | 'recordHash' | 'extents'
  >;
  const extents = decodeSection(name, sections, extentsTag) as Manifest['extents'];
  requireShape(name, 'manifest', { ...content, extents }, manifestShape);
  if (streamId !== undefined && content.status.streamId !== streamId) {
    throw corrupt(name, `it belongs to stream ${content.status.streamId}, not to ${streamId}`);
  }
  return { ...content, extents, slot: header.slot, epoch: header.epoch, recordHash: header.previousHash };
}
