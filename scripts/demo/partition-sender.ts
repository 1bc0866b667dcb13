import type { Clock } from '../../src/base/clock.ts';
import { TidemarkError, toError } from '../../src/base/errors.ts';
import { type LedgerEntry, rangesOf } from './ledger.ts';
import type { Reading } from './telemetry.ts';

/** One partition of a hub, as the sender needs it. */
export interface HubPartition {
  readonly id: string;
  /** Sends the first readings, as many as fit into one message; resolves with how many the hub acknowledged. Never retries. */
  readonly send: (readings: readonly Reading[], willSend: (count: number) => void) => Promise<number>;
  /** Of the last event in the partition; -1 when it is empty. */
  readonly lastSequenceNumber: () => Promise<number>;
}

export interface PartitionSenderOptions {
  readonly partition: HubPartition;
  readonly append: (entry: LedgerEntry) => void;
  /** Numbers the sends of all partitions. */
  readonly nextSend: () => number;
  readonly clock: Clock;
}

const queueLengthMax = 50_000;
const pauseMs = 100;
// An answer that was lost: what was on its way has arrived by then or never will.
const settleMs = 1_000;
const lookAttemptsMax = 30;
const resendsMax = 30;

/**
 * Sends readings to one partition, one send at a time and in order, and writes to the ledger what came of each.
 *
 * The SDK must not retry: a retried send whose first answer was lost is in the hub twice, and nobody would know. Here an
 * unclear send is settled by looking: this process is the only writer of the partition, so its last sequence number
 * tells whether the events arrived. They are sent again only when they did not.
 *
 * Invariant: at most one send has no outcome in the ledger.
 */
export class PartitionSender {
  readonly #options: PartitionSenderOptions;
  readonly #queue: Reading[] = [];
  #lastSequenceNumber = -1;
  #stopping = false;

  constructor(options: PartitionSenderOptions) {
    this.#options = options;
  }

  /** False: the queue is full, the hub is slower than the generator. */
  offer(reading: Reading): boolean {
    if (this.#queue.length >= queueLengthMax) return false;
    this.#queue.push(reading);
    return true;
  }

  /** After this nothing is offered any more; `run` ends when the queue is empty. */
  stop(): void {
    this.#stopping = true;
  }

  /** @throws TidemarkError SOURCE_UNAVAILABLE when the hub can't be reached for long; the ledger then has an open send */
  async run(): Promise<void> {
    const { clock, partition } = this.#options;
    this.#lastSequenceNumber = await this.#look(() => partition.lastSequenceNumber());
    while (!this.#stopping || this.#queue.length > 0) {
      const startedMs = clock.now();
      while (this.#queue.length > 0) this.#queue.splice(0, await this.#sendSome());
      if (!this.#stopping) await clock.waitUntil(startedMs + pauseMs);
    }
  }

  /** Resolves with how many readings need not be sent again. */
  async #sendSome(): Promise<number> {
    const { append, nextSend, partition } = this.#options;
    for (let resend = 0; resend <= resendsMax; resend++) {
      const send = nextSend();
      let count = 0;
      try {
        await partition.send(this.#queue, (fitting) => {
          count = fitting;
          const ranges = rangesOf(this.#queue.slice(0, count));
          append({
            kind: 'sending',
            send,
            partition: partition.id,
            lastSequenceNumber: this.#lastSequenceNumber,
            ranges,
          });
        });
        this.#lastSequenceNumber += count;
        append({ kind: 'sent', send });
        return count;
      } catch (thrown) {
        if (count === 0) {
          // It failed before anything was on its way.
          await this.#pause(settleMs, toError(thrown), resend);
          continue;
        }
      }
      const outcome = await this.settle(send, this.#lastSequenceNumber, count);
      if (outcome !== 'dropped') return count;
    }
    throw new TidemarkError('SOURCE_UNAVAILABLE', `Partition ${partition.id} refused a send ${resendsMax + 1} times.`);
  }

  /** Finds out what became of a send and writes it down; also for one that an earlier process left open. */
  async settle(send: number, lastBefore: number, count: number): Promise<'sent' | 'dropped' | 'uncertain'> {
    const { append, clock, partition } = this.#options;
    await clock.waitUntil(clock.now() + settleMs);
    const last = await this.#look(() => partition.lastSequenceNumber());
    const kind = last === lastBefore ? 'dropped' : last === lastBefore + count ? 'sent' : 'uncertain';
    append({ kind, send });
    this.#lastSequenceNumber = last;
    return kind;
  }

  async #look(read: () => Promise<number>): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await read();
      } catch (thrown) {
        await this.#pause(settleMs, toError(thrown), attempt);
      }
    }
  }

  async #pause(ms: number, cause: Error, attempt: number): Promise<void> {
    const { clock, partition } = this.#options;
    if (attempt >= lookAttemptsMax) {
      throw new TidemarkError(
        'SOURCE_UNAVAILABLE',
        `Partition ${partition.id} could not be reached: ${cause.message}`,
        { cause },
      );
    }
    await clock.waitUntil(clock.now() + ms);
  }
}
