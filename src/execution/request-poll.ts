import { TidemarkError } from '../base/errors.ts';
import type { CheckpointLog } from '../checkpoint/checkpoint-log.ts';
import { pin, unpin } from '../checkpoint/operator-records.ts';
import { deleteRequest, type RequestContent, readRequests, type StreamRequest } from '../checkpoint/requests.ts';
import type { Driver } from './driver.ts';

/**
 * Looks now and then for what outside tools ask this driver for, and does it between two batches.
 *
 * The answer is in the log: a Pin or Unpin record, the Drain record at the end. The request goes when it is done with or
 * refused, so whoever asked sees both. A crash between answer and removal leaves a request that is recognised by its id,
 * or, a drain, by the epoch it was meant for; one that nobody waits for any more is dropped.
 *
 * Costs one listing per `everyMs`, which no batch waits for. A store that refuses it is told of once.
 */
export class RequestPoll {
  readonly #driver: Driver;
  readonly #everyMs: number;
  readonly #drain: () => void;
  #dueMs: number;
  #isReading = false;
  #waiting: readonly StreamRequest[] = [];
  #hasWarned = false;

  /** `drain` asks for a graceful stop. */
  constructor(driver: Driver, everyMs: number, drain: () => void) {
    this.#driver = driver;
    this.#everyMs = everyMs;
    this.#drain = drain;
    this.#dueMs = driver.ports.clock.now() + everyMs;
  }

  /** Called when no batch runs. */
  async betweenBatches(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const request of waiting) await this.#answer(request);
    const nowMs = this.#driver.ports.clock.now();
    if (this.#everyMs === 0 || this.#isReading || nowMs < this.#dueMs) return;
    this.#dueMs = nowMs + this.#everyMs;
    this.#isReading = true;
    this.#read().finally(() => {
      this.#isReading = false;
    });
  }

  async #read(): Promise<void> {
    const { store } = this.#driver;
    if (store === undefined) return;
    try {
      this.#waiting = await readRequests(store);
    } catch (error) {
      this.#warnOnce(error);
    }
  }

  async #answer({ id, content, untilMs = Number.POSITIVE_INFINITY }: StreamRequest): Promise<void> {
    const { log, store, ports } = this.#driver;
    if (log === undefined || store === undefined) return;
    try {
      if (log.tailTimeMs <= untilMs) await this.#act(log, id, content);
      else
        ports.warn(
          `A tool asked for a ${content.kind} and is gone: it waited until ${new Date(untilMs).toISOString()}.`,
        );
    } catch (error) {
      if (!(error instanceof TidemarkError) || !isRefusal(error)) throw error;
      ports.warn(`A tool asked for a ${content.kind}, which was refused: ${error.message}`);
    }
    await deleteRequest(store, id).catch((error) => this.#warnOnce(error));
  }

  async #act(log: CheckpointLog, id: string, content: RequestContent): Promise<void> {
    const { savepoints } = log.status;
    switch (content.kind) {
      case 'savepoint':
        if (!savepoints.some(({ requestId }) => requestId === id)) await pin(log, content.name, id);
        break;
      case 'unpin':
        if (savepoints.some(({ slot }) => slot === content.slot)) await unpin(log, content.name);
        break;
      case 'drain':
        if (content.epoch === log.epoch) this.#drain();
        break;
    }
  }

  #warnOnce(error: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const { ports, store } = this.#driver;
    const why = error instanceof Error ? error.message : String(error);
    ports.warn(`Requests of tools below ${store?.url} can not be looked for, so they stay unanswered: ${why}`);
  }
}

/** The name or the number of savepoints doesn't fit; nothing was written. */
function isRefusal({ kind }: TidemarkError): boolean {
  return kind === 'invalid' || kind === 'limit';
}
