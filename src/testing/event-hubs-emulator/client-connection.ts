import type { Socket } from 'node:net';
import { answerIdempotentProducer, echoTermini, readConsumerAttach } from './attach.ts';
import { conditions, Refusal, toAmqpError } from './conditions.ts';
import { ConsumerLink } from './consumer-link.ts';
import { DeliveryBytes, type SpareBytes } from './delivery-bytes.ts';
import { type LinkIdentity, type LinkSelector, matches } from './faults.ts';
import { correctFrameHandling } from './frame-handling.ts';
import { answerManagementRequest } from './management.ts';
import type { Address, Namespace } from './namespace.ts';
import { frameBytesMax } from './payload-input.ts';
import { ProducerLink } from './producer-link.ts';
import { type Reply, ReplyLink } from './requests.ts';
import type {
  AmqpError,
  RequestMessage,
  RheaConnection,
  RheaContainer,
  RheaContext,
  RheaLink,
  RheaSession,
} from './rhea-internals.ts';
import { checkSasToken, covers, entityPath } from './sas-token.ts';
import { resolveStart } from './start-position.ts';
import { TransferWriter } from './transfer-writer.ts';

const connectionOptions = {
  max_frame_size: frameBytesMax,
  channel_max: 4_999,
  idle_time_out: 240_000,
  tcp_no_delay: true,
  receiver_options: { autoaccept: false, credit_window: 0 },
} as const;

const requestCredit = 100;
const claimsMax = 1000;

interface OpenLink {
  readonly link: RheaLink;
  readonly identity: LinkIdentity | undefined;
  readonly consumer?: ConsumerLink;
  readonly producer?: ProducerLink;
  readonly replies?: ReplyLink;
}

/**
 * One connection of a client: answers its attaches and requests and owns its links until it is gone. rhea does the
 * protocol; `frame-handling.ts` corrects what it gets wrong as a server.
 *
 * Invariant: after `destroy` no link is registered anywhere and no timer of rhea is armed.
 */
export class ClientConnection {
  readonly #namespace: Namespace;
  readonly #rhea: RheaConnection;
  readonly #socket: Socket;
  readonly #writer: TransferWriter;
  readonly #links = new Map<RheaLink, OpenLink>();
  /** Entity paths the client showed a valid token for. */
  readonly #claims = new Set<string>();
  readonly #spare: SpareBytes = { buffer: Buffer.alloc(0) };
  #gone = false;

  constructor(namespace: Namespace, container: RheaContainer, socket: Socket, log: (line: string) => void) {
    this.#namespace = namespace;
    this.#socket = socket;
    this.#rhea = container.create_connection(connectionOptions);
    this.#writer = new TransferWriter(this.#rhea, socket);
    correctFrameHandling(this.#rhea, {
      producerOf: (link) => this.#links.get(link)?.producer,
      flowed: (session) => this.#wakeLinks(session),
      exceeded: () => this.destroy(),
    });
    const broken = (context: unknown): void => {
      log(`connection ended: ${describe(context)}`);
      this.destroy();
    };
    const ignored = (): void => {};
    this.#rhea.on('protocol_error', broken);
    this.#rhea.on('error', broken);
    for (const event of ['connection_open', 'connection_close', 'connection_error', 'disconnected']) {
      this.#rhea.on(event, ignored);
    }
    for (const event of ['session_open', 'session_error', 'sender_error', 'receiver_error'])
      this.#rhea.on(event, ignored);
    this.#rhea.on('session_close', (context: RheaContext) => this.#closeLinksOf(context.session!));
    this.#rhea.on('sender_open', (context: RheaContext) => this.#attach(context.sender!));
    this.#rhea.on('receiver_open', (context: RheaContext) => this.#attach(context.receiver!));
    this.#rhea.on('sender_close', (context: RheaContext) => this.#closeLink(context.sender!));
    this.#rhea.on('receiver_close', (context: RheaContext) => this.#closeLink(context.receiver!));
    socket.on('drain', () => this.#wakeLinks(undefined));
    socket.on('close', () => this.destroy());
    this.#rhea.accept(socket);
  }

  /** Cuts the connection without a word. */
  destroy(): void {
    if (this.#gone) return;
    this.#gone = true;
    for (const link of this.#links.values()) dispose(link);
    this.#links.clear();
    this.#socket.destroy();
    this.#rhea._disconnected();
    // rhea re-arms its timers when something is written late; without a socket it writes nothing.
    this.#rhea.socket_ready = false;
    for (const timer of [this.#rhea.heartbeat_in, this.#rhea.heartbeat_out, this.#rhea.abort_idle]) clearTimeout(timer);
  }

  close(error: AmqpError): void {
    for (const link of this.#links.values()) dispose(link);
    this.#rhea.close(error);
  }

  /** Detaches the links to hubs that match. Returns how many. */
  detachLinks(selector: LinkSelector, error: AmqpError): number {
    const matching = [...this.#links.values()].filter(({ identity }) => identity && matches(selector, identity));
    for (const open of matching) {
      this.#links.delete(open.link);
      (open.consumer ?? open.producer)!.detach(error);
    }
    return matching.length;
  }

  wakeConsumers(): void {
    for (const { consumer } of this.#links.values()) consumer?.wake();
  }

  #attach(link: RheaLink): void {
    const address = (link.is_receiver() ? link.target : link.source)?.address ?? '';
    try {
      this.#links.set(link, this.#open(link, address));
    } catch (error) {
      link.close(toAmqpError(error));
    }
  }

  /** @throws Refusal */
  #open(link: RheaLink, text: string): OpenLink {
    const role = link.is_receiver() ? 'producer' : 'consumer';
    const address = this.#namespace.resolve(text, role);
    if (address.kind === 'cbs' || address.kind === 'management') {
      if (address.kind === 'management' && this.#claims.size === 0) throw unauthorized(text);
      echoTermini(link);
      if (role === 'consumer') return { link, identity: undefined, replies: new ReplyLink(link, this.#writer) };
      link.on('message', (context: RheaContext) => this.#answer(address.kind, context));
      link.add_credit(requestCredit);
      return { link, identity: undefined };
    }
    const path = entityPath(text);
    if (![...this.#claims].some((claimed) => covers(claimed, path))) throw unauthorized(text);
    const identity: LinkIdentity = {
      role,
      hub: address.hub.settings.name,
      partition: address.partition?.id,
      consumerGroup: address.kind === 'consumer' ? address.consumerGroup : undefined,
    };
    const refusal = this.#namespace.faults.takeAttachRefusal(identity);
    if (refusal !== undefined)
      throw new Refusal(refusal.condition, refusal.description ?? 'refused by an injected fault');
    if (address.kind === 'producer') return { link, identity, producer: this.#openProducer(link, address) };
    return { link, identity, consumer: this.#openConsumer(link, address) };
  }

  #openProducer(link: RheaLink, address: Address & { kind: 'producer' }): ProducerLink {
    answerIdempotentProducer(link, address.partition);
    echoTermini(link);
    link.local.attach.max_message_size = this.#namespace.maxMessageBytes;
    return new ProducerLink({
      link,
      hub: address.hub,
      partition: address.partition,
      delivery: new DeliveryBytes(this.#spare, this.#namespace.maxMessageBytes),
      maxMessageBytes: this.#namespace.maxMessageBytes,
      faults: this.#namespace.faults,
      clock: this.#namespace.clock,
      dropConnection: () => this.destroy(),
    });
  }

  #openConsumer(link: RheaLink, { hub, partition, consumerGroup }: Address & { kind: 'consumer' }): ConsumerLink {
    partition.log.retain(this.#namespace.clock.now());
    const { selector, ...reader } = readConsumerAttach(link);
    const consumer = new ConsumerLink({
      ...reader,
      link,
      writer: this.#writer,
      partition,
      readers: hub.readers(partition, consumerGroup),
      startSequenceNumber: resolveStart(selector, partition.log),
      clock: this.#namespace.clock,
    });
    echoTermini(link);
    return consumer;
  }

  #answer(kind: 'cbs' | 'management', context: RheaContext): void {
    const link = context.receiver!;
    const request = context.message as RequestMessage;
    context.delivery!.accept();
    link.add_credit(1);
    const replies = [...this.#links.values()].find(
      (open) => open.replies?.answersTo(request.reply_to) && open.link.session === link.session,
    )?.replies;
    // Without a link to answer on there is nobody to tell.
    if (replies === undefined) return;
    const reply =
      kind === 'cbs'
        ? this.#putToken(request)
        : answerManagementRequest(request, (name) => this.#namespace.hub(name), this.#namespace.clock.now());
    replies.reply(request, reply);
  }

  #putToken(request: RequestMessage): Reply {
    const { operation, name, type } = request.application_properties ?? {};
    if (operation !== 'put-token' || typeof name !== 'string') {
      return {
        status: 400,
        condition: conditions.argumentError,
        description: 'A put-token request with a name is needed.',
      };
    }
    // A token of Microsoft Entra ID cannot be checked here: every one is good.
    const problem =
      type === 'jwt'
        ? undefined
        : checkSasToken(String(request.body), name, this.#namespace.key, this.#namespace.tokenClock.now());
    if (problem !== undefined) return { status: 401, condition: conditions.unauthorizedAccess, description: problem };
    this.#claims.add(entityPath(name));
    if (this.#claims.size > claimsMax) this.#claims.delete(this.#claims.values().next().value!);
    return { status: 202, description: 'Accepted' };
  }

  #closeLink(link: RheaLink): void {
    const open = this.#links.get(link);
    if (open === undefined) return;
    this.#links.delete(link);
    dispose(open);
  }

  #closeLinksOf(session: RheaSession): void {
    for (const link of [...this.#links.keys()]) if (link.session === session) this.#closeLink(link);
  }

  #wakeLinks(session: RheaSession | undefined): void {
    for (const { link, consumer, replies } of this.#links.values()) {
      if (session !== undefined && link.session !== session) continue;
      consumer?.wake();
      replies?.wake();
    }
  }
}

function dispose({ consumer, producer, replies }: OpenLink): void {
  consumer?.dispose();
  producer?.dispose();
  replies?.dispose();
}

function unauthorized(address: string): Refusal {
  return new Refusal(
    conditions.unauthorizedAccess,
    `Unauthorized access. No valid token for '${address}' was put on this connection.`,
  );
}

function describe(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String((thrown as RheaContext | undefined)?.error ?? thrown);
}
