import type { Clock } from '../base/clock.ts';
import type { StoredContents } from './stored-contents.ts';

/** A batch whose contents are where they belong. */
export interface ReadyBatch<B> {
  readonly batch: B;
  readonly contents: StoredContents;
  /** When it was handed in. */
  readonly queuedMs: number;
}

interface WaitingBatch<B> {
  readonly kind: 'batch';
  readonly batch: B;
  readonly inlineBytes: number;
  readonly queuedMs: number;
  contents: StoredContents | undefined;
  readonly ready: Promise<StoredContents>;
  /** The next batch must not be in the same record. */
  endsGroup: boolean;
  readonly reject: (error: unknown) => void;
  readonly resolve: (receipt: never) => void;
}

interface WaitingRecord {
  readonly kind: 'record';
  readonly write: () => Promise<unknown>;
  readonly reject: (error: unknown) => void;
  readonly resolve: (result: never) => void;
}

interface CommitQueueOptions<B, R> {
  /** Makes all of them durable in one record; a receipt for each. Never called while another write is running. */
  readonly writeGroup: (group: readonly ReadyBatch<B>[]) => Promise<readonly R[]>;
  /** A group takes no further batch once its inline bytes would exceed this. */
  readonly inlineBytesMax: number;
  readonly clock: Clock;
  /** A write failed: everything that waited was rejected with this error. */
  readonly failed: (error: unknown) => void;
}

// Far above what the engine has in flight at once; a bound all the same.
const groupBatchesMax = 256;
// Q3. Well below the attempts of a starter (take-over).
const recordsInARowMax = 8;
// A write that took longer was held up by an outage.
const pauseMsMax = 1000;

/**
 * The order of records: one write at a time, in the order of the calls; batches that wait for the same write go into one
 * record.
 *
 * Nothing waits on purpose: a batch that meets an idle queue is written at once and alone. What is handed in while a
 * record is on its way forms the next one. So the group size follows from how fast batches come and the store answers.
 *
 * Invariants
 *   Q1. A record follows the one before it only after that one is known to be durable.
 *   Q2. When a write fails, nothing that waited behind it is written: it builds on what is not there.
 *   Q3. After some records without a break in between, it stays away from the log for as long as the last write took. A
 *       driver that takes over must read the newest record before it can write its fence behind it, and would never get
 *       there against one that always has a write on its way. Costs nothing but time, and only when the store is the limit.
 */
export class CommitQueue<B, R> {
  readonly #options: CommitQueueOptions<B, R>;
  #waiting: (WaitingBatch<B> | WaitingRecord)[] = [];
  #isWriting = false;
  #recordsInARow = 0;
  #lastWriteMs = 0;

  constructor(options: CommitQueueOptions<B, R>) {
    this.#options = options;
  }

  get isIdle(): boolean {
    return !this.#isWriting && this.#waiting.length === 0;
  }

  /** Batches that are not in the record that is being written. */
  get waitingBatches(): readonly B[] {
    return this.#waiting.flatMap((item) => (item.kind === 'batch' ? [item.batch] : []));
  }

  /** The most records that what was handed in can still become, the one on its way included. */
  get recordsMax(): number {
    return this.#waiting.length + (this.#isWriting ? 1 : 0);
  }

  /** The least. */
  get recordsMin(): number {
    return (this.#waiting.length > 0 ? 1 : 0) + (this.#isWriting ? 1 : 0);
  }

  /**
   * @param contents a promise while segments are being uploaded; the batches behind it wait for them, those before don't.
   * @param endsGroup the next batch goes into another record.
   */
  addBatch(
    batch: B,
    contents: StoredContents | Promise<StoredContents>,
    inlineBytes: number,
    endsGroup: boolean,
  ): Promise<R> {
    const ready = Promise.resolve(contents);
    ready.catch(() => {}); // Met when its turn comes.
    return new Promise((resolve, reject) => {
      const item: WaitingBatch<B> = {
        kind: 'batch',
        batch,
        inlineBytes,
        queuedMs: this.#options.clock.now(),
        contents: contents instanceof Promise ? undefined : contents,
        ready,
        endsGroup,
        reject,
        resolve,
      };
      ready.then(
        (stored) => {
          item.contents = stored;
        },
        () => {},
      );
      this.#add(item);
    });
  }

  /** A record that is not a batch. `write` appends it. */
  addRecord<T>(write: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => this.#add({ kind: 'record', write, resolve, reject }));
  }

  /** What is handed in from now on goes into a later record than what was so far. */
  endGroup(): void {
    const last = this.#waiting.at(-1);
    if (last?.kind === 'batch') last.endsGroup = true;
  }

  #add(item: WaitingBatch<B> | WaitingRecord): void {
    this.#waiting.push(item);
    if (!this.#isWriting) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isWriting = true;
    for (;;) {
      const item = this.#waiting[0]!;
      const tell = item.kind === 'record' ? await this.#writeRecord(item) : await this.#writeGroup(item);
      // Before anyone is told: who is told that the queue is through finds it idle.
      const isThrough = this.#waiting.length === 0;
      if (isThrough) this.#isWriting = false;
      tell();
      this.#recordsInARow = isThrough ? 0 : this.#recordsInARow + 1;
      if (isThrough) return;
      if (this.#recordsInARow % recordsInARowMax === 0) await this.#stayAway();
    }
  }

  /** Q3 */
  async #stayAway(): Promise<void> {
    const { clock } = this.#options;
    await clock.waitUntil(clock.now() + Math.min(this.#lastWriteMs, pauseMsMax));
  }

  async #writeRecord(item: WaitingRecord): Promise<() => void> {
    this.#waiting.shift();
    try {
      const result = await item.write();
      return () => item.resolve(result as never);
    } catch (error) {
      return this.#fail(error, [item]);
    }
  }

  async #writeGroup(first: WaitingBatch<B>): Promise<() => void> {
    let group: readonly WaitingBatch<B>[] = [first];
    try {
      first.contents ??= await first.ready;
      group = this.#takeGroup();
      const ready = group.map(({ batch, contents, queuedMs }) => ({ batch, contents: contents!, queuedMs }));
      const startMs = this.#options.clock.now();
      const receipts = await this.#options.writeGroup(ready);
      this.#lastWriteMs = this.#options.clock.now() - startMs;
      return () => {
        for (const [index, { resolve }] of group.entries()) resolve(receipts[index] as never);
      };
    } catch (error) {
      return this.#fail(error, group);
    }
  }

  /** From the head on: what is ready, up to the bounds. */
  #takeGroup(): readonly WaitingBatch<B>[] {
    const group: WaitingBatch<B>[] = [];
    let bytes = 0;
    for (const item of this.#waiting) {
      if (item.kind !== 'batch' || item.contents === undefined || group.length === groupBatchesMax) break;
      bytes += item.inlineBytes;
      if (group.length > 0 && bytes > this.#options.inlineBytesMax) break;
      group.push(item);
      if (item.endsGroup) break;
    }
    this.#waiting.splice(0, group.length);
    return group;
  }

  /** Q2 */
  #fail(error: unknown, written: readonly { readonly reject: (error: unknown) => void }[]): () => void {
    const dropped = new Set([...written, ...this.#waiting]);
    this.#waiting = [];
    this.#options.failed(error);
    return () => {
      for (const { reject } of dropped) reject(error);
    };
  }
}
