import { formatName } from '../checkpoint/object-names.ts';
import { ForwardingStore } from '../storage/forwarding-store.ts';
import type { ByteRange, GetOutcome, PutOutcome } from '../storage/object-store.ts';

/**
 * A new root whose `format` comes last. Records without a format are never taken for a stream, so a program that starts on
 * what a crash has left is refused, and does not begin anew without the state that was to be there.
 *
 * Whoever makes the stream sees the format at once. Not closed by this: the store behind it belongs to someone else.
 */
export class FormatLastStore extends ForwardingStore {
  #held: { readonly bytes: Uint8Array; readonly commitId: string } | undefined;

  /** All else is there: writes the format. */
  async finish(): Promise<PutOutcome> {
    const { bytes, commitId } = this.#held!;
    return this.store.putIfAbsent(formatName, bytes, commitId);
  }

  override async get(name: string, range?: ByteRange): Promise<GetOutcome> {
    const outcome = await this.store.get(name, range);
    if (name !== formatName || this.#held === undefined || outcome.status === 'found') return outcome;
    return { status: 'found', bytes: this.#held.bytes, etag: '', serverTimeMs: outcome.serverTimeMs };
  }

  override async putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    if (name !== formatName) return this.store.putIfAbsent(name, bytes, commitId);
    const { status, serverTimeMs } = await this.store.head(name);
    if (status === 'found') return { status: 'lost', serverTimeMs };
    this.#held = { bytes, commitId };
    return { status: 'done', etag: '', serverTimeMs, recognised: false };
  }

  override async close(): Promise<void> {}
}
