import type { Clock } from '../../base/clock.ts';
import { invariant, TidemarkError, toError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { type RetryPolicy, retry } from '../../base/retry.ts';
import type { ObjectStore, PutOutcome } from '../../storage/object-store.ts';
import {
  type BlockBytes,
  type BlockRange,
  decodeLogObject,
  encodeLogObject,
  type LogObject,
  logObjectName,
  logObjectPrefix,
  parseLogObjectName,
} from './log-object.ts';

export interface BlockLogOptions {
  /** What is below it belongs to this log alone. */
  readonly store: ObjectStore;
  readonly epoch: number;
  /** Slots below it are in committed batches. */
  readonly position: number;
  readonly clock: Clock;
  readonly random: Random;
  /** An object is durable: its blocks may be planned. Called in order of slots, before the writers are told. */
  readonly onObject: (object: LogObject, bytes: Uint8Array) => void;
  /** The log cannot be written any more. Called at most once. */
  readonly fail: (error: Error) => void;
}

/** An object that the last driver left for us, with its bytes. */
export interface LeftObject {
  readonly object: LogObject;
  readonly bytes: Uint8Array;
}

const retryPolicy: RetryPolicy = { attemptsMax: 64, delayMinMs: 100, delayMaxMs: 5_000 };
// One object holds what waits up to here, at least one block.
const objectBytesMax = 16 * 1024 * 1024;
const readsUnderWayMax = 8;
const lostPutsMax = 1000;
const deletesPerRequestMax = 256;
const hourMs = 3_600_000;
/** After this silence, by the store's clock, a success may be that of a driver replaced long ago: it is checked. */
export const silenceMaxMs: number = hourMs;
/** Consumed objects of earlier drivers, their fences among them, stay this long. */
export const leftoverAgeMs: number = 24 * hourMs;

/**
 * What a receiver has taken in, as numbered immutable objects `log/<slot>`: a write-ahead log on the checkpoint store.
 *
 * In: encoded blocks. Out: a promise per block that resolves when it is durable. At most one PUT is in flight; blocks
 * that come meanwhile go into the next object together (group commit), so the number of requests does not depend on the
 * number of blocks. Owns the order of writes and what is deleted. Does not own what is planned (logged-blocks).
 *
 * Invariants
 *   L1. A slot belongs to whoever's object stands in it: slots are written one after another, each by put-if-absent.
 *   L2. A starting driver puts its fence into the first free slot. An older driver that still runs finds its next slot
 *       taken and stops; what it acknowledged before stands in front of the fence, and is taken over.
 *   L3. Acknowledged means: the object is known to be ours in its slot. An unknown outcome is resent until it is known.
 *   L4. Objects go only when all their blocks are in committed batches. Fences, and what a killed driver left of such
 *       objects, go when they are a day old and a newer fence stands.
 *   L5. A success after an hour without an answer is believed only if nothing stands in later slots: the slot might have
 *       held a fence that is deleted by now (L4), but the newest fence never is.
 */
export class BlockLog {
  readonly #options: BlockLogOptions;
  readonly #stopping = new AbortController();
  #nextSlot: number;
  #lastServerTimeMs = 0;
  #waiting: WaitingBlock[] = [];
  #writing: Promise<void> | undefined;
  #failure: Error | undefined;
  #dead: string[] = [];
  #deleting: Promise<void> | undefined;

  /**
   * Takes the log over.
   * @throws SOURCE_FENCED, CHECKPOINT_CORRUPT, COMMIT_UNKNOWN and what the store refuses.
   */
  static async open(
    options: BlockLogOptions,
  ): Promise<{ readonly log: BlockLog; readonly left: readonly LeftObject[] }> {
    const log = new BlockLog(options);
    const listed = await log.#list();
    const newest = listed.at(-1)?.slot ?? 0;
    log.#nextSlot = Math.max(options.position, newest + 1);
    await log.#fence();
    const left = await log.#readLeft(options.position);
    log.#deleteLeftovers(listed.filter(({ slot }) => slot < options.position));
    return { log, left };
  }

  private constructor(options: BlockLogOptions) {
    this.#options = options;
    this.#nextSlot = options.position;
  }

  /** Resolves when the block is durable. Blocks are stored in the order of the calls. */
  append(block: BlockBytes): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ block, done });
    this.#writing ??= this.#writeWaiting();
    return done.promise;
  }

  /** Bytes of a range, not verified. @throws CHECKPOINT_CORRUPT when the object is gone. */
  async read({ slot, offset, length }: BlockRange): Promise<Uint8Array> {
    const name = logObjectName(slot);
    const found = await this.#options.store.get(name, { offset, length });
    if (found.status === 'missing') throw missing(this.#options.store, name);
    return found.bytes;
  }

  /** All blocks of these slots are in committed batches. Deleted in the background; what fails is tried with the next ones. */
  delete(slots: readonly number[]): void {
    this.#dead.push(...slots.map(logObjectName));
    if (this.#dead.length > 0) this.#deleting ??= this.#deleteDead();
  }

  /** Resolves when nothing is being written or deleted any more, whatever the outcome. */
  async idle(): Promise<void> {
    await this.#writing;
    await this.#deleting;
  }

  /** Gives up: what is not durable yet is refused. */
  close(): void {
    this.#break(new TidemarkError('CANCELLED', `The log of a receiver (${this.#options.store.url}) is closed.`));
    this.#stopping.abort(this.#failure);
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0 && this.#failure === undefined) {
      const group = this.#takeGroup();
      try {
        await this.#write(group.map(({ block }) => block));
        for (const { done } of group) done.resolve();
      } catch (thrown) {
        const error = toError(thrown);
        for (const { done } of group) done.reject(error);
        this.#break(error);
      }
    }
    this.#writing = undefined;
  }

  #takeGroup(): WaitingBlock[] {
    let bytes = 0;
    let count = 0;
    for (const { block } of this.#waiting) {
      bytes += block.payload.length;
      if (count > 0 && bytes > objectBytesMax) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #write(blocks: readonly BlockBytes[]): Promise<void> {
    const { epoch, random, onObject } = this.#options;
    const slot = this.#nextSlot;
    const commitId = random.id();
    const { bytes, object } = encodeLogObject({ slot, epoch, commitId }, blocks);
    const outcome = await this.#put(slot, bytes, commitId);
    if (outcome.status === 'lost') throw await this.#explainLoss(slot);
    if (outcome.serverTimeMs - this.#lastServerTimeMs > silenceMaxMs && (await this.#isPassed(slot))) {
      throw fenced(this.#options.store, slot); // L5
    }
    this.#lastServerTimeMs = outcome.serverTimeMs;
    this.#nextSlot = slot + 1;
    onObject(object, bytes);
  }

  /** Puts our fence into the first free slot (L2). */
  async #fence(): Promise<void> {
    const { epoch, random } = this.#options;
    for (let attempt = 1; attempt <= lostPutsMax; attempt++) {
      const slot = this.#nextSlot;
      const commitId = random.id();
      const outcome = await this.#put(slot, encodeLogObject({ slot, epoch, commitId }, []).bytes, commitId);
      this.#nextSlot = slot + 1;
      if (outcome.status === 'lost') continue;
      this.#lastServerTimeMs = outcome.serverTimeMs;
      return;
    }
    throw new TidemarkError(
      'SOURCE_UNAVAILABLE',
      `Another driver wrote ${lostPutsMax} objects to ${this.#options.store.url} while this one took over. Start again.`,
    );
  }

  /** Everything from `position` to our fence. */
  async #readLeft(position: number): Promise<LeftObject[]> {
    const { epoch, store } = this.#options;
    const left: LeftObject[] = [];
    const end = this.#nextSlot - 1;
    for (let from = position; from < end; from += readsUnderWayMax) {
      const slots = Array.from({ length: Math.min(readsUnderWayMax, end - from) }, (_, i) => from + i);
      left.push(...(await Promise.all(slots.map((slot) => this.#readObject(slot)))));
    }
    for (const { object } of left) if (object.epoch >= epoch) throw newerEpoch(store, object, epoch);
    return left;
  }

  async #readObject(slot: number): Promise<LeftObject> {
    const name = logObjectName(slot);
    const found = await this.#options.store.get(name);
    if (found.status === 'missing') throw missing(this.#options.store, name);
    return { object: decodeLogObject(name, slot, found.bytes), bytes: found.bytes };
  }

  async #explainLoss(slot: number): Promise<TidemarkError> {
    const { object } = await this.#readObject(slot);
    const { store, epoch } = this.#options;
    if (object.epoch > epoch) return fenced(store, slot);
    return new TidemarkError(
      'INTERNAL',
      `Slot ${slot} of ${store.url} holds an object of epoch ${object.epoch}, which driver ${epoch} has not written.`,
    );
  }

  async #isPassed(slot: number): Promise<boolean> {
    for await (const { name } of this.#options.store.list(logObjectPrefix, logObjectName(slot))) {
      if (parseLogObjectName(name) !== undefined) return true;
    }
    return false;
  }

  async #list(): Promise<ListedObject[]> {
    const listed: ListedObject[] = [];
    for await (const { name, modifiedMs } of this.#options.store.list(logObjectPrefix)) {
      const slot = parseLogObjectName(name);
      if (slot !== undefined) listed.push({ slot, modifiedMs });
    }
    return listed;
  }

  async #deleteDead(): Promise<void> {
    let isAnswered = true;
    while (isAnswered && this.#dead.length > 0) {
      const names = this.#dead.splice(0, deletesPerRequestMax);
      // A leftover costs a little space, and the next commit tries again: no reason to stop a stream.
      await this.#options.store.delete(names).catch(() => {
        this.#dead.unshift(...names);
        isAnswered = false;
      });
    }
    this.#deleting = undefined;
  }

  #deleteLeftovers(leftovers: readonly ListedObject[]): void {
    const oldMs = this.#lastServerTimeMs - leftoverAgeMs;
    this.delete(leftovers.filter(({ modifiedMs }) => modifiedMs < oldMs).map(({ slot }) => slot)); // L4
  }

  /** @throws COMMIT_UNKNOWN when an attempt without an answer is outstanding at the end (L3); else what the store threw. */
  async #put(
    slot: number,
    bytes: Uint8Array,
    commitId: string,
  ): Promise<Exclude<PutOutcome, { readonly status: 'unknown' }>> {
    const { store, clock, random } = this.#options;
    const name = logObjectName(slot);
    let isUncertain = false;
    const attempt = async (): Promise<Exclude<PutOutcome, { readonly status: 'unknown' }>> => {
      const outcome = await store.putIfAbsent(name, bytes, commitId);
      if (outcome.status !== 'unknown') return outcome;
      isUncertain = true;
      throw new Unanswered(outcome.cause);
    };
    try {
      return await retry(attempt, retryPolicy, { clock, random, signal: this.#stopping.signal }, (error) => ({
        again: isPassing(error),
      }));
    } catch (cause) {
      if (!isUncertain) throw cause;
      throw new TidemarkError(
        'COMMIT_UNKNOWN',
        `Whether "${name}" was written to ${store.url} could not be learned. Start again when the store answers: the next start finds out.`,
        { cause, context: { object: name } },
      );
    }
  }

  #break(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const { done } of this.#waiting.splice(0)) done.reject(error);
    if (!(error instanceof TidemarkError && error.code === 'CANCELLED')) this.#options.fail(error);
  }
}

interface WaitingBlock {
  readonly block: BlockBytes;
  readonly done: PromiseWithResolvers<void>;
}

interface ListedObject {
  readonly slot: number;
  readonly modifiedMs: number;
}

class Unanswered extends Error {
  constructor(cause: unknown) {
    super('no answer', { cause });
  }
}

/** An outage, or a credential that expired in the middle of a stream and may be renewed. */
function isPassing(error: Error): boolean {
  if (error instanceof Unanswered) return true;
  return error instanceof TidemarkError && ['STORE_UNAVAILABLE', 'STORE_FORBIDDEN'].includes(error.code);
}

function fenced(store: ObjectStore, slot: number): TidemarkError {
  return new TidemarkError(
    'SOURCE_FENCED',
    `A newer driver has taken over the receiver's log ${store.url}, seen at slot ${slot}. What was acknowledged is safe with it; leave this process stopped.`,
    { context: { slot } },
  );
}

function missing(store: ObjectStore, name: string): TidemarkError {
  return new TidemarkError(
    'CHECKPOINT_CORRUPT',
    `"${name}" of the receiver's log ${store.url} is missing, with records that were acknowledged. Restore it from soft delete or a copy; nothing was changed.`,
    { context: { object: name } },
  );
}

function newerEpoch(store: ObjectStore, object: LogObject, epoch: number): TidemarkError {
  invariant(object.epoch >= epoch, 'An older epoch is no reason to stop.');
  return new TidemarkError(
    'SOURCE_FENCED',
    `Slot ${object.slot} of the receiver's log ${store.url} was written by driver epoch ${object.epoch}, and this driver has epoch ${epoch}. ` +
      'Either a newer driver runs, or the log was left behind by another stream: then delete this folder.',
    { context: { slot: object.slot, epoch: object.epoch } },
  );
}
