import { type Connection, type EventContext, generate_uuid, type Receiver, types } from 'rhea-promise';
import { ArrivedEvents } from './arrived-events.ts';
import { toHubFailure } from './azure-amqp-errors.ts';
import type { RheaReceiver, TransferReader } from './azure-transfer-reader.ts';
import { type AmqpMessage, type BodyFormat, decodeEvent, estimateBytes } from './event-hub-event.ts';
import { HubFailure, type ReceiverLink, type ReceiverRequest, type ReceiverStart } from './hub-connection.ts';

const selectorFilter = 'apache.org:selector-filter:string';
const selectorDescriptor = 0x468c00000004;

/**
 * Attaches a receive link without credit of its own: what `addCredit` gives is all that may arrive.
 * @throws what rhea rejects with; the caller translates.
 */
export async function openReceiverLink(
  connection: Connection,
  path: string,
  request: ReceiverRequest,
  body: BodyFormat,
  abortSignal: AbortSignal,
  onGone: (link: AmqpReceiverLink) => void,
  transfers: ((link: RheaReceiver) => TransferReader) | undefined,
): Promise<AmqpReceiverLink> {
  const link = new AmqpReceiverLink(request, body, onGone);
  const identifier = `tidemark-${request.epoch}`;
  link.receiver = await connection.createReceiver({
    name: `${path}-${generate_uuid()}`,
    source: {
      address: path,
      filter: { [selectorFilter]: types.wrap_described(selector(request.after), selectorDescriptor) },
    },
    target: identifier,
    credit_window: 0,
    // Settled when it is sent: nothing has to be answered.
    snd_settle_mode: 1,
    autoaccept: true,
    properties: {
      'com.microsoft:receiver-name': identifier,
      'com.microsoft:epoch': types.wrap_long(request.epoch),
    },
    desired_capabilities: [
      'com.microsoft:georeplication',
      'com.microsoft:enable-receiver-runtime-metric',
    ] as unknown as string,
    onMessage: (context) => link.received(context),
    onClose: (context) => link.ended(context.receiver?.error),
    onSessionClose: (context) => link.ended(context.session?.error),
    abortSignal,
  });
  const { onArrived } = request;
  if (transfers !== undefined && onArrived !== undefined) {
    const rheaLink = (link.receiver as unknown as { readonly _link: RheaReceiver })._link;
    link.readDirectly(transfers(rheaLink), rheaLink, onArrived);
  }
  return link;
}

/** For position -1 the special offset: the service knows no sequence number below its first. */
function selector(after: ReceiverStart): string {
  if ('enqueuedTimeMs' in after) return `amqp.annotation.x-opt-enqueued-time > '${after.enqueuedTimeMs}'`;
  return after.sequenceNumber < 0
    ? `amqp.annotation.x-opt-offset > '-1'`
    : `amqp.annotation.x-opt-sequence-number > '${after.sequenceNumber}'`;
}

export class AmqpReceiverLink implements ReceiverLink {
  receiver: Receiver | undefined;
  readonly #request: ReceiverRequest;
  readonly #body: BodyFormat;
  readonly #onGone: (link: AmqpReceiverLink) => void;
  #over = false;
  #stopReading: (() => void) | undefined;
  #resolveDisconnected!: () => void;
  readonly #disconnected: Promise<void>;

  constructor(request: ReceiverRequest, body: BodyFormat, onGone: (link: AmqpReceiverLink) => void) {
    this.#request = request;
    this.#body = body;
    this.#onGone = onGone;
    this.#disconnected = new Promise((resolve) => {
      this.#resolveDisconnected = resolve;
    });
  }

  /** Usual transfers don't pass through rhea from here on. No event has arrived before, because there was no credit. */
  readDirectly(transfers: TransferReader, link: RheaReceiver, onArrived: (events: ArrivedEvents) => void): void {
    const arrived = new ArrivedEvents(this.#request.partitionId, this.#body);
    const deliver = (): void => {
      if (this.#over) return;
      try {
        onArrived(arrived);
      } catch (error) {
        this.#fail(toHubFailure(error));
      }
    };
    this.#stopReading = transfers.take(link, { arrived, deliver });
  }

  addCredit(credit: number): void {
    if (!this.#over) this.receiver?.addCredit(credit);
  }

  async close(): Promise<void> {
    this.#over = true;
    // With its session, which was opened for it alone. rhea-promise never settles a close that a disconnect overtakes.
    const closing = this.receiver?.close({ closeSession: true }).catch(() => undefined);
    await Promise.race([closing, this.#disconnected]);
    this.#stopReading?.();
    this.#onGone(this);
  }

  /** The connection is gone, and rhea doesn't close links for that. */
  disconnected(failure: HubFailure): void {
    this.#resolveDisconnected();
    this.#fail(failure);
  }

  received(context: EventContext): void {
    if (this.#over) return;
    const message = context.message as AmqpMessage | undefined;
    try {
      if (!message || Buffer.isBuffer(message)) throw new RangeError('A message of an unknown format arrived.');
      const event = decodeEvent(message, this.#request.partitionId, this.#body);
      const lastEnqueued = message.delivery_annotations?.last_enqueued_sequence_number;
      this.#request.onEvent(event, estimateBytes(message), typeof lastEnqueued === 'number' ? lastEnqueued : undefined);
    } catch (error) {
      // Thrown into rhea it would end the connection without a reason.
      this.#fail(toHubFailure(error));
    }
  }

  ended(error: unknown): void {
    this.#fail(
      error ? toHubFailure(error) : new HubFailure('transient', 'The service closed the link without a reason.'),
    );
  }

  #fail(failure: HubFailure): void {
    if (this.#over) return;
    this.#over = true;
    this.#request.onClosed(failure);
  }
}
