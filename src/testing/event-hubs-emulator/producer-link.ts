import type { Clock } from '../../base/clock.ts';
import { conditions, Refusal, toAmqpError } from './conditions.ts';
import type { DeliveryBytes } from './delivery-bytes.ts';
import { MalformedMessage } from './encoded-values.ts';
import type { FaultState } from './faults.ts';
import type { Hub, Partition } from './hub.ts';
import { partitionOfKey } from './partition-key.ts';
import type { AmqpError, RheaContext, RheaDelivery, RheaLink } from './rhea-internals.ts';
import { SentEvents } from './sent-events.ts';

const creditMax = 500;

export interface ProducerLinkOptions {
  readonly link: RheaLink;
  readonly hub: Hub;
  /** Undefined: the hub chooses, by key or in turn. */
  readonly partition: Partition | undefined;
  /** What has arrived of the current delivery. */
  readonly delivery: DeliveryBytes;
  readonly maxMessageBytes: number;
  readonly faults: FaultState;
  readonly clock: Clock;
  /** Ends the connection, for the fault that loses an answer. */
  readonly dropConnection: () => void;
}

/**
 * A sender of the client: stores what it sends and answers each delivery. `accepted` is sent after the events are
 * written. Credit is given back when a delivery is answered, so at most `creditMax` wait at once.
 */
export class ProducerLink {
  readonly link: RheaLink;
  readonly #options: ProducerLinkOptions;
  readonly #closed = new AbortController();
  #answered = 0;

  constructor(options: ProducerLinkOptions) {
    this.link = options.link;
    this.#options = options;
    options.link.on('message', (context: RheaContext) => this.#receive(context));
    options.link.add_credit(creditMax);
  }

  get hub(): Hub {
    return this.#options.hub;
  }

  get partition(): Partition | undefined {
    return this.#options.partition;
  }

  /** Bytes of the delivery that is coming in; `message` of the link says that they are complete. */
  append(source: Buffer, start: number, end: number): void {
    this.#options.delivery.append(source, start, end);
  }

  detach(error: AmqpError): void {
    this.dispose();
    this.link.close(error);
  }

  dispose(): void {
    if (!this.#closed.signal.aborted) this.#closed.abort(new Error('link closed'));
  }

  #receive(context: RheaContext): void {
    const delivery = context.delivery!;
    if (this.#closed.signal.aborted) return;
    try {
      this.#store(context.format ?? 0);
    } catch (error) {
      this.#answer(delivery, toAmqpError(error));
      return;
    } finally {
      this.#options.delivery.clear();
    }
    const { faults, clock } = this.#options;
    const lost = faults.takeLostAccept();
    if (lost !== undefined) {
      if (lost === 'drop-connection') this.#options.dropConnection();
      return;
    }
    const delayMs = faults.acceptDelayMs();
    if (delayMs === 0) {
      this.#answer(delivery, undefined);
      return;
    }
    clock.waitUntil(clock.now() + delayMs, this.#closed.signal).then(
      () => this.#answer(delivery, undefined),
      () => {}, // The link is gone: nobody waits for the answer.
    );
  }

  /** @throws Refusal */
  #store(format: number): void {
    const { faults, clock, delivery, maxMessageBytes } = this.#options;
    if (delivery.size > maxMessageBytes) {
      throw new Refusal(
        conditions.messageSizeExceeded,
        `The received message (delivery-id:0, size:${delivery.size} bytes) exceeds the limit (${maxMessageBytes} bytes) currently allowed on the link.`,
      );
    }
    if (faults.takeThrottledSend()) {
      throw new Refusal(
        conditions.serverBusy,
        'The request was terminated because the entity is being throttled. Error code : 50002. Please wait 4 seconds and try again.',
      );
    }
    try {
      this.#append(new SentEvents(delivery.bytes(), format), clock.now());
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      throw new Refusal(conditions.decodeError, `The received message could not be decoded: ${error.message}.`);
    }
  }

  /** @throws Refusal, MalformedMessage */
  #append(send: SentEvents, nowMs: number): void {
    const partition = this.#options.partition ?? choosePartition(this.#options.hub, send.partitionKey);
    const { producer, count } = send;
    if (producer !== undefined && !partition.producers.isNew(producer.id, producer.epoch, producer.sequence, count))
      return;
    partition.log.append(send, nowMs);
    if (producer !== undefined) partition.producers.stored(producer.id, producer.epoch, producer.sequence, count);
  }

  #answer(delivery: RheaDelivery, error: AmqpError | undefined): void {
    if (!this.link.is_open()) return;
    if (error === undefined) delivery.accept();
    else delivery.reject(error);
    // In portions: a flow frame for every delivery would be half of what is written.
    if (++this.#answered < creditMax / 2) return;
    this.link.add_credit(this.#answered);
    this.#answered = 0;
  }
}

function choosePartition(hub: Hub, partitionKey: string | undefined): Partition {
  if (partitionKey === undefined) return hub.nextPartition();
  return hub.partitions[partitionOfKey(partitionKey, hub.partitions.length)]!;
}
