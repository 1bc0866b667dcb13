import { ByteTurns } from '../base/byte-turns.ts';
import { TidemarkError } from '../base/errors.ts';
import { requireKnownOptions } from '../base/options.ts';
import { type Random, SystemRandom } from '../base/random.ts';
import { type Steps, Turns } from '../base/turns.ts';
import type { ObjectStore, PutOutcome } from '../storage/object-store.ts';
import { openObjectStore, type StoreOptions, storeOptionNames } from '../storage/open-store.ts';
import { parseStoreUrl } from '../storage/store-url.ts';
import { outputName, rewindName, stagingEpoch, stagingName, stagingPrefix } from './blob-layout.ts';
import { encodeLines, type LineFormat, lineFormats } from './line-format.ts';
import type { RewindInfo, SinkBatch, SinkOpening, StagedSink } from './sink.ts';

/** Where to write, how to get in (as for every store), and in what form. */
export interface BlobSinkOptions extends StoreOptions {
  /** Any storage URL. */
  readonly url: string;
  /** Default `jsonl`. */
  readonly format?: LineFormat | undefined;
  /** A batch of at most this many bytes is kept in the checkpoint record until it is published. Default 256 KiB. */
  readonly inlineBytesMax?: number | undefined;
  /** How the store is opened; for tests that wrap it. Default `openObjectStore`. */
  readonly openStore?: ((url: string, options: StoreOptions) => Promise<ObjectStore>) | undefined;
}

const ownOptionNames = ['url', 'format', 'inlineBytesMax', 'openStore'];
/** Staged bytes kept for their publishing, over all batches; beyond that they are read back. */
const keptBytesMax = 64 * 1024 * 1024;
const sweepBatch = 256;

/** What a committed batch knows of its output. Stored in the checkpoint: append fields only. */
interface BlobHandle {
  /** Of the output, relative to the sink's URL. */
  readonly name: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  /** The bytes themselves, or the name they are staged under. */
  readonly content: { readonly bytes: Uint8Array } | { readonly staged: string };
}

/**
 * Writes each batch as one object of lines, exactly once.
 *
 * @throws TidemarkError OPTION_INVALID, URL_INVALID
 */
export function blobSink(options: BlobSinkOptions): StagedSink<unknown> {
  requireKnownOptions('blobSink', options, [...ownOptionNames, ...storeOptionNames]);
  const { format = 'jsonl', ...rest } = options;
  if (!lineFormats.includes(format)) {
    throw new TidemarkError('OPTION_INVALID', `format is '${format}'; accepted: ${lineFormats.join(', ')}.`);
  }
  return new BlobSink(rest, {
    kind: 'blob',
    description: parseStoreUrl(options.url).url,
    name: (uid, { batchTimeMs, generation }) => outputName(uid, { batchTimeMs, generation, format }),
    rewindName,
    encode: (partitions) => encodeLines(format, partitions),
  });
}

/** What the objects of a sink are called, and what is in them. */
export interface BlobForm {
  readonly kind: string;
  readonly description: string;
  /** Of a batch's object, relative to the sink's URL. */
  readonly name: (uid: string, batch: SinkBatch) => string;
  /** Of the object that tells readers of a rewind; undefined: names alone must tell them. */
  readonly rewindName?: ((uid: string, rewind: RewindInfo) => string) | undefined;
  /** No bytes: no object. */
  readonly encode: (partitions: readonly (readonly unknown[])[]) => Steps<Uint8Array>;
}

/**
 * Stage: encode the batch; a small one goes into the handle, a larger one under a staging name that cannot be guessed.
 * Publish: create the output object if its name is free, then remove the staged one.
 *
 * In: rows of a batch. Out: `<uid>/<batch time>-<generation>.jsonl` (blob-layout), after the batch is committed.
 * Owns the objects under its uid and under its staging prefix. Does not own the decision when to publish.
 *
 * Invariants
 *   S1. An output object holds the bytes whose hash the committed handle names; it is never replaced.
 *   S2. Publishing again, by anyone, at any time, changes nothing.
 *   S3. Nothing but publishing creates an output object, so a reader sees committed batches only, each whole.
 *   S4. A staged object is removed only when its output is there, or its driver is fenced and all that it committed
 *       is published (sweep).
 */
export class BlobSink implements StagedSink<unknown> {
  readonly sinkClass = 'staged';
  readonly kind: string;
  readonly guarantee = 'exactly once';
  readonly description: string;
  readonly #url: string;
  readonly #form: BlobForm;
  readonly #inlineBytesMax: number;
  readonly #storeOptions: StoreOptions;
  readonly #openStore: (url: string, options: StoreOptions) => Promise<ObjectStore>;
  readonly #random: Random;
  /** Batches may be large, and nobody else's work is in it. */
  readonly #turns = new Turns();
  readonly #byteTurns = new ByteTurns();
  readonly #kept = new Map<string, Uint8Array>();
  #keptBytes = 0;
  #opened: { readonly store: ObjectStore; readonly opening: SinkOpening } | undefined;

  constructor(options: Omit<BlobSinkOptions, 'format'>, form: BlobForm) {
    const { url, inlineBytesMax = 256 * 1024, openStore = openObjectStore, ...storeOptions } = options;
    if (!Number.isSafeInteger(inlineBytesMax) || inlineBytesMax < 0) {
      throw new TidemarkError('OPTION_INVALID', `inlineBytesMax is ${inlineBytesMax}; give a number of bytes from 0.`);
    }
    this.kind = form.kind;
    this.description = form.description;
    this.#url = url;
    this.#form = form;
    this.#inlineBytesMax = inlineBytesMax;
    this.#storeOptions = storeOptions;
    this.#openStore = openStore;
    this.#random = storeOptions.random ?? new SystemRandom();
  }

  async open(opening: SinkOpening): Promise<void> {
    this.#opened = { store: await this.#openStore(this.#url, this.#storeOptions), opening };
  }

  async stage(batch: SinkBatch, partitions: readonly (readonly unknown[])[]): Promise<unknown> {
    const { store, opening } = this.#use();
    const bytes = await this.#turns.run(this.#form.encode(partitions));
    if (bytes.length === 0) return undefined;
    const { batchId } = batch;
    const { streamId, uid, epoch } = opening;
    const sha256 = await this.#byteTurns.sha256Hex(bytes);
    const name = this.#form.name(uid, batch);
    const handle = { name, sha256, sizeBytes: bytes.length };
    if (bytes.length <= this.#inlineBytesMax) return { ...handle, content: { bytes } } satisfies BlobHandle;

    const staged = stagingName(streamId, uid, epoch, batchId, this.#random.id());
    const outcome = await store.putIfAbsent(staged, bytes, this.#random.id());
    if (outcome.status !== 'done') throw unsettled(`${store.url}: staging "${staged}"`, outcome);
    this.#keep(staged, bytes);
    return { ...handle, content: { staged } } satisfies BlobHandle;
  }

  async publish(opaque: unknown): Promise<void> {
    const { store } = this.#use();
    const handle = opaque as BlobHandle;
    const bytes = await this.#bytesOf(handle, store);
    if (bytes !== undefined) await this.#create(handle, bytes, store);
    if ('staged' in handle.content) {
      this.#forget(handle.content.staged);
      // S4. What the store refuses to delete now, the sweep of a later driver tries again.
      await store.delete([handle.content.staged]);
    }
  }

  /** A mark for readers, before anything of the new generation is there. Nothing is removed. */
  async onRewind(rewind: RewindInfo): Promise<void> {
    const { store, opening } = this.#use();
    const name = this.#form.rewindName?.(opening.uid, rewind);
    if (name === undefined) return;
    const outcome = await store.putIfAbsent(name, new Uint8Array(0), this.#random.id());
    if (outcome.status === 'unknown') throw unsettled(`${store.url}: marking a rewind as "${name}"`, outcome);
  }

  async sweep(): Promise<void> {
    const { store, opening } = this.#use();
    const { streamId, uid, epoch } = opening;
    let orphans: string[] = [];
    for await (const { name } of store.list(stagingPrefix(streamId, uid))) {
      if (!(stagingEpoch(streamId, uid, name) < epoch)) continue;
      orphans.push(name);
      if (orphans.length < sweepBatch) continue;
      await store.delete(orphans);
      orphans = [];
    }
    await store.delete(orphans);
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    this.#kept.clear();
    this.#keptBytes = 0;
    await opened?.store.close();
  }

  /** The bytes to publish; undefined when the output is there already and its staged bytes are gone. */
  async #bytesOf({ name, sha256, content }: BlobHandle, store: ObjectStore): Promise<Uint8Array | undefined> {
    if ('bytes' in content) return content.bytes;
    const kept = this.#kept.get(content.staged);
    if (kept !== undefined) return kept;
    const staged = await store.get(content.staged);
    if (staged.status === 'found') {
      if ((await this.#byteTurns.sha256Hex(staged.bytes)) === sha256) return staged.bytes;
      throw damaged(`${store.url}: the staged output "${content.staged}" is damaged`, name);
    }
    // Gone because an earlier publish got to its end. Anything else is a loss.
    const output = await store.get(name);
    if (output.status === 'found') {
      if ((await this.#byteTurns.sha256Hex(output.bytes)) === sha256) return undefined;
      throw conflict(store.url, name);
    }
    throw damaged(`${store.url}: the staged output "${content.staged}" of "${name}" is missing`, name);
  }

  async #create({ name, sha256 }: BlobHandle, bytes: Uint8Array, store: ObjectStore): Promise<void> {
    // From the content, so that every publish of this batch is the same write.
    const outcome = await store.putIfAbsent(name, bytes, sha256.slice(0, 32));
    if (outcome.status === 'unknown') throw unsettled(`${store.url}: publishing "${name}"`, outcome);
    if (outcome.status === 'done') return;
    const there = await store.get(name);
    if (there.status === 'missing' || (await this.#byteTurns.sha256Hex(there.bytes)) !== sha256)
      throw conflict(store.url, name);
  }

  #keep(name: string, bytes: Uint8Array): void {
    if (this.#keptBytes + bytes.length > keptBytesMax) return;
    this.#kept.set(name, bytes);
    this.#keptBytes += bytes.length;
  }

  #forget(name: string): void {
    this.#keptBytes -= this.#kept.get(name)?.length ?? 0;
    this.#kept.delete(name);
  }

  #use(): { readonly store: ObjectStore; readonly opening: SinkOpening } {
    if (this.#opened !== undefined) return this.#opened;
    throw new TidemarkError('STATUS_INVALID', `The blob sink on ${this.description} is not open.`);
  }
}

function conflict(url: string, name: string): TidemarkError {
  return new TidemarkError(
    'SINK_CONFLICT',
    `${url}: the output "${name}" exists with other content than this batch produced. Does another stream write there with the same uid?`,
    { context: { name } },
  );
}

function damaged(what: string, name: string): TidemarkError {
  return new TidemarkError('CHECKPOINT_CORRUPT', `${what}. The batch is committed but its output is not published.`, {
    context: { name },
  });
}

function unsettled(what: string, outcome: PutOutcome): TidemarkError {
  return new TidemarkError('STORE_UNAVAILABLE', `${what} had no certain outcome. The next start settles it.`, {
    cause: outcome.status === 'unknown' ? outcome.cause : undefined,
  });
}
