import { TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { CheckpointSettings } from './checkpoint-options.ts';
import { getUntilKnown, putUntilKnown } from './durable-put.ts';
import type { EncodedFrame } from './frame.ts';
import type { LogRecord, RecordLinks, RecordPlace } from './log-record.ts';
import { logName } from './object-names.ts';
import { decodeRecord, encodeRecord } from './record-codec.ts';
import { readFloor } from './root-objects.ts';

/** The end of the log as this driver knows it. */
export interface LogTail {
  readonly slot: number;
  readonly hash: string;
  /** The store's clock when it acknowledged the record at `slot`. */
  readonly serverTimeMs: number;
  /** A moment before that record arrived, by the same clock: its answer may have come much later than it did. */
  readonly arrivedAfterMs: number;
}

/**
 * Appends records behind one's own fence: one conditional write each.
 *
 * Invariants
 *   W1. The slot after the tail is the lock: whoever's record occupies it owns it. Another epoch's record there means
 *       that a newer driver took over; then nothing is ever written again.
 *   W2. A slot is tried with one content only: identical bytes until the outcome is known.
 *   W3. After a silence a fresh slot may be one that others filled and cleaned away meanwhile. Records are deleted only
 *       when they are twice as old as the silence threshold, so after a longer silence the floor decides. Others can
 *       fill a slot as soon as the record before it has arrived, so the silence is counted from before that.
 */
export class LogWriter {
  readonly epoch: number;
  readonly driverId: string;
  readonly #store: ObjectStore;
  readonly #settings: CheckpointSettings;
  readonly #streamId: string;
  #tail: LogTail;

  constructor(
    store: ObjectStore,
    settings: CheckpointSettings,
    driver: { readonly streamId: string; readonly epoch: number; readonly driverId: string },
    fence: LogTail,
  ) {
    this.#store = store;
    this.#settings = settings;
    this.#streamId = driver.streamId;
    this.epoch = driver.epoch;
    this.driverId = driver.driverId;
    this.#tail = fence;
  }

  get tail(): LogTail {
    return this.#tail;
  }

  /** The content as a record at the next slot; nothing is written yet. @throws VALUE_UNSUPPORTED, LIMIT_EXCEEDED */
  encode(
    links: RecordLinks,
    build: (place: RecordPlace) => LogRecord,
  ): { readonly record: LogRecord; readonly frame: EncodedFrame } {
    const record = build({
      slot: this.#tail.slot + 1,
      epoch: this.epoch,
      driverId: this.driverId,
      commitId: this.#settings.random.id(),
      previousHash: this.#tail.hash,
      links,
    });
    return { record, frame: encodeRecord(record) };
  }

  /** @throws FENCED, COMMIT_UNKNOWN, CHECKPOINT_CORRUPT, INTERNAL: the writer must not be used again. */
  async append(record: LogRecord, frame: EncodedFrame): Promise<void> {
    const { slot } = record;
    const name = logName(slot);
    const put = await putUntilKnown(
      this.#store,
      this.#settings,
      name,
      frame.bytes,
      record.commitId,
      'through refusals',
    );
    // W3: the time of the last look at the slot, not of the refusal: in between, an earlier attempt may have landed late.
    const serverTimeMs = put.status === 'lost' ? await this.#timeOfOurs(slot, frame) : put.serverTimeMs;
    if (Math.abs(serverTimeMs - this.#tail.arrivedAfterMs) > this.#settings.silenceThresholdMs) {
      const { value: floor } = await readFloor(this.#store);
      if (floor >= slot) {
        throw this.#fenced(`records up to ${floor} were cleaned away while this driver was silent`, slot);
      }
    }
    // W3: this record was sent after the one before it was acknowledged.
    const arrivedAfterMs = this.#tail.serverTimeMs;
    this.#tail = { slot, hash: frame.hash, serverTimeMs, arrivedAfterMs };
  }

  /** The slot is taken. By our own bytes: an earlier attempt had arrived; returns the store's clock when that was seen. */
  async #timeOfOurs(slot: number, frame: EncodedFrame): Promise<number> {
    const occupant = await getUntilKnown(this.#store, this.#settings, logName(slot));
    if (occupant.status === 'missing') {
      throw this.#fenced(`record ${slot} was written by another driver and is cleaned away already`, slot);
    }
    const { record, hash } = decodeRecord(slot, occupant.bytes);
    if (hash === frame.hash) return occupant.serverTimeMs;
    if (record.epoch !== this.epoch) {
      throw this.#fenced(`record ${slot} belongs to epoch ${record.epoch} (driver ${record.driverId})`, slot);
    }
    throw new TidemarkError(
      'INTERNAL',
      `Record ${slot} holds another content of this driver's own epoch ${this.epoch}: two parts of one process write the same log.`,
      { context: { slot, epoch: this.epoch } },
    );
  }

  #fenced(evidence: string, slot: number): TidemarkError {
    return new TidemarkError(
      'FENCED',
      `A newer driver took over stream ${this.#streamId} (${this.#store.url}): ${evidence}; this driver has epoch ${this.epoch} and committed nothing after record ${this.#tail.slot}. Leave this process stopped. If two applications should run, give each its own checkpoint URL and consumer group.`,
      { context: { streamId: this.#streamId, slot, epoch: this.epoch } },
    );
  }
}
