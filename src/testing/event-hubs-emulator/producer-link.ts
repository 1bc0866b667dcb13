import type { Clock } from '../../base/clock.ts';
import { conditions, Refusal, toAmqpError } from './conditions.ts';
import { MalformedMessage, parseSend, type SendBytes } from './event-bytes.ts';
import type { FaultState } from './faults.ts';
import type { Hub, Partition } from './hub.ts';
import { partitionOfKey } from './partition-key.ts';
import type { AmqpError, RheaContext, RheaDelivery, RheaLink } from './rhea-internals.ts';

const creditMax = 500;

export interface ProducerLinkOptions {
  readonly link: RheaLink;
  readonly hub: Hub;
  /** Undefined: the hub chooses, by key or in turn. */
  readonly partition: Partition | undefined;
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
  /** Of the delivery that is coming in or just came in. */
  #deliveryBytes = 0;
  #deliveryComplete = true;

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

  /** Counts the bytes of a delivery that comes in several frames; false when they are not worth keeping any more. */
  countFrame(bytes: number, more: boolean): boolean {
    this.#deliveryBytes = this.#deliveryComplete ? bytes : this.#deliveryBytes + bytes;
    this.#deliveryComplete = !more;
    return this.#deliveryBytes <= this.#options.maxMessageBytes;
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
      this.#store(context.message as Buffer, context.format ?? 0);
    } catch (error) {
      this.#answer(delivery, toAmqpError(error));
      return;
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
  #store(message: Buffer, format: number): void {
    const { hub, faults, clock, maxMessageBytes } = this.#options;
    if (this.#deliveryBytes > maxMessageBytes) {
      throw new Refusal(
        conditions.messageSizeExceeded,
        `The received message (delivery-id:0, size:${this.#deliveryBytes} bytes) exceeds the limit (${maxMessageBytes} bytes) currently allowed on the link.`,
      );
    }
    if (faults.takeThrottledSend()) {
      throw new Refusal(
        conditions.serverBusy,
        'The request was terminated because the entity is being throttled. Error code : 50002. Please wait 4 seconds and try again.',
      );
    }
    const send = parse(message, format);
    const partition = this.#options.partition ?? choosePartition(hub, send.partitionKey);
    const { producer } = send;
    const count = send.events.length;
    if (producer !== undefined && !partition.producers.isNew(producer.id, producer.epoch, producer.sequence, count))
      return;
    partition.log.append(send, clock.now());
    if (producer !== undefined) partition.producers.stored(producer.id, producer.epoch, producer.sequence, count);
  }

  #answer(delivery: RheaDelivery, error: AmqpError | undefined): void {
    if (!this.link.is_open()) return;
    if (error === undefined) delivery.accept();
    else delivery.reject(error);
    this.link.add_credit(1);
  }
}

function choosePartition(hub: Hub, partitionKey: string | undefined): Partition {
  if (partitionKey === undefined) return hub.nextPartition();
  return hub.partitions[partitionOfKey(partitionKey, hub.partitions.length)]!;
}

function parse(message: Buffer, format: number): SendBytes {
  try {
    return parseSend(message, format);
  } catch (error) {
    const reason = error instanceof MalformedMessage ? error.message : 'values cut off';
    throw new Refusal(conditions.decodeError, `The received message could not be decoded: ${reason}.`);
  }
}
