import { ByteTurns } from '../base/byte-turns.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Part } from './content.ts';
import { corrupt } from './corruption.ts';
import { mapBounded } from './map-bounded.ts';

// Parts are up to 64 MiB: this bounds what lies in memory besides the state itself.
const readsMax = 4;

/**
 * The bytes of an extent, fetched and checked part by part.
 * @throws CHECKPOINT_CORRUPT when a part is missing, short or has another hash.
 */
export async function readParts(store: ObjectStore, parts: readonly Part[]): Promise<Uint8Array> {
  const turns = new ByteTurns();
  const pieces = await mapBounded(parts, readsMax, (part) => readPart(store, part, turns));
  return pieces.length === 1 ? pieces[0]! : turns.concat(pieces);
}

async function readPart(store: ObjectStore, part: Part, turns: ByteTurns): Promise<Uint8Array> {
  const { object, offset, length } = part;
  const outcome = await store.get(object, { offset, length });
  if (outcome.status === 'missing') throw corrupt(object, 'it is missing, and holds state the log refers to');
  if (outcome.bytes.length !== length) {
    throw corrupt(object, `it ends before byte ${offset + length}, it was cut`);
  }
  if ((await turns.sha256Hex(outcome.bytes)) !== part.sha256) {
    throw corrupt(object, `the SHA-256 of bytes ${offset} to ${offset + length} does not match`);
  }
  return outcome.bytes;
}
