import { ForwardingStore } from '../storage/forwarding-store.ts';
import type { PutOutcome } from '../storage/object-store.ts';
import { logPrefix, manifestPrefix, segmentPrefix, snapshotPrefix } from './object-names.ts';

/** Bytes of the log by what they are. */
export interface BytesByKind {
  readonly records: number;
  readonly segments: number;
  readonly manifests: number;
  readonly snapshots: number;
}

/** A store that counts what the log writes, by kind of object: each object once, however often its write was repeated. */
export class MeteredStore extends ForwardingStore {
  readonly #bytes = { records: 0, segments: 0, manifests: 0, snapshots: 0 };

  /** So far. */
  get written(): BytesByKind {
    return { ...this.#bytes };
  }

  override async putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    const outcome = await super.putIfAbsent(name, bytes, commitId);
    const kind = kindOf(name);
    if (kind !== undefined && outcome.status === 'done') this.#bytes[kind] += bytes.length;
    return outcome;
  }
}

function kindOf(name: string): keyof BytesByKind | undefined {
  if (name.startsWith(logPrefix)) return 'records';
  if (name.startsWith(segmentPrefix)) return 'segments';
  if (name.startsWith(manifestPrefix)) return 'manifests';
  return name.startsWith(snapshotPrefix) ? 'snapshots' : undefined;
}
