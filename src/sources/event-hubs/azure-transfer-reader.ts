import { readUint32, type } from './amqp-plain-value.ts';
import type { ArrivedEvents } from './arrived-events.ts';
import { EventScanner } from './event-scanner.ts';

/** The insides of rhea 3 this relies on: everything is named here, so an upgrade has one page to check. */
export interface RheaTransport {
  readonly header_received: unknown;
  readonly read_complete: boolean;
  /** Reads whole frames; returns how many bytes it has read. */
  read(bytes: Buffer): number;
}

export interface RheaConnection {
  readonly amqp_transport: RheaTransport;
  readonly remote_channel_map: Readonly<Record<number, RheaSession | undefined>>;
  readonly socket?: { cork?(): void; uncork?(): void } | undefined;
  /** Has rhea look after flow and dispositions before the next turn of the event loop. */
  _register(): void;
  /** Writes what is due of all sessions and links. */
  _process(): void;
}

export interface RheaSession {
  readonly incoming: {
    next_transfer_id: number;
    next_delivery_id: number | undefined;
    /** Deliveries rhea has not finished with. */
    readonly deliveries: { readonly size: number };
  };
  readonly remote: { readonly handles: Readonly<Record<number, RheaReceiver | undefined>> };
}

export interface RheaReceiver {
  readonly connection: RheaConnection;
  readonly _incomplete?: unknown;
  credit: number;
  delivery_count: number;
  is_remote_open(): boolean;
}

/** Where the events of one link go. */
export interface TransferSink {
  readonly arrived: ArrivedEvents;
  /** `arrived` is full, or the bytes are at their end. Must not throw. */
  deliver(): void;
}

const frameHeaderBytes = 8;

/**
 * Reads the usual transfers of one connection in place of rhea: settled, of one frame and message format 0, on a link that
 * has a sink, with a message the scanner accepts. Every other frame goes to rhea, unchanged and in order.
 *
 * rhea makes an object, a getter call or a closure of every field of every frame; this was nine tenths of the cost of an
 * event. What is replaced is `read` of this connection's own transport and the writing of its frames one by one, nothing that
 * other connections share.
 *
 * Invariants
 *   T1. rhea's counters (transfer id, delivery id, credit, delivery count) move as if it had read the frame itself, so the
 *       flow frames it writes are right.
 *   T2. A frame is decided on before anything is changed, and whatever rhea would refuse it gets to refuse.
 *   T3. What has been read is delivered before rhea gets the next frame: events and their link's end keep their order.
 */
export class TransferReader {
  readonly #connection: RheaConnection;
  readonly #transport: RheaTransport;
  readonly #readByRhea: (bytes: Buffer) => number;
  readonly #sinks = new Map<RheaReceiver, TransferSink>();
  readonly #scanner = new EventScanner();
  /** Sinks that hold something of these bytes. */
  readonly #pending: TransferSink[] = [];

  // The link of the last transfer. Only a frame that rhea reads can change what is known of it.
  #route = -1;
  #handle = -1;
  #session: RheaSession | undefined;
  #link: RheaReceiver | undefined;
  #sink: TransferSink | undefined;

  // Of the transfer frame at hand.
  #deliveryId = 0;
  #payloadAt = 0;
  #frameHandle = 0;

  constructor(connection: RheaConnection) {
    const transport = connection.amqp_transport;
    this.#connection = connection;
    this.#transport = transport;
    this.#readByRhea = transport.read.bind(transport);
    transport.read = (bytes) => this.#read(bytes);
    const process = connection._process.bind(connection);
    connection._process = () => {
      // rhea writes every frame by itself: the flows of all links become one write.
      const { socket } = connection;
      socket?.cork?.();
      process();
      socket?.uncork?.();
    };
  }

  /** Has the link's events go to the sink until the function it returns is called. */
  take(link: RheaReceiver, sink: TransferSink): () => void {
    this.#sinks.set(link, sink);
    this.#forget();
    return () => {
      this.#sinks.delete(link);
      this.#forget();
    };
  }

  #read(bytes: Buffer): number {
    const transport = this.#transport;
    if (!transport.header_received || this.#sinks.size === 0) return this.#readByRhea(bytes);
    this.#forget();
    let at = 0;
    let taken = false;
    try {
      while (at < bytes.length - 4 && !transport.read_complete) {
        const size = readUint32(bytes, at);
        if (bytes.length < at + size) break;
        if (size >= frameHeaderBytes && this.#take(bytes, at, at + size)) {
          taken = true;
          at += size;
          continue;
        }
        this.#deliver(); // T3
        this.#forget();
        // Sizes that are none are rhea's to complain about.
        const read = this.#readByRhea(size < frameHeaderBytes ? bytes.subarray(at) : bytes.subarray(at, at + size));
        if (read === 0) break;
        at += read;
      }
    } finally {
      this.#deliver();
      this.#forget();
      if (taken) this.#connection._register();
    }
    return at;
  }

  /** False leaves the frame to rhea, and everything as it was. */
  #take(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#parseTransfer(bytes, start, end)) return false;
    const route = (bytes[start + 6]! << 8) | bytes[start + 7]!;
    if (route !== this.#route || this.#frameHandle !== this.#handle) this.#look(route, this.#frameHandle);
    const session = this.#session;
    const link = this.#link;
    const sink = this.#sink;
    if (session === undefined || link === undefined || sink === undefined) return false;
    const { incoming } = session;
    if (incoming.deliveries.size > 0 || link._incomplete !== undefined || link.credit <= 0) return false;
    if (incoming.next_delivery_id !== undefined && incoming.next_delivery_id !== this.#deliveryId) return false;
    if (!this.#scanner.scan(bytes, this.#payloadAt, end)) return false;
    // T1
    incoming.next_transfer_id++;
    incoming.next_delivery_id = this.#deliveryId + 1;
    link.credit--;
    link.delivery_count++;

    const { arrived } = sink;
    if (arrived.count === 0) {
      arrived.begin(bytes);
      this.#pending.push(sink);
    }
    arrived.add(this.#scanner, end);
    if (arrived.isFull) this.#deliver();
    return true;
  }

  #look(channel: number, handle: number): void {
    const session = this.#connection.remote_channel_map[channel];
    const link = session?.remote.handles[handle];
    const sink = link === undefined || !link.is_remote_open() ? undefined : this.#sinks.get(link);
    this.#route = channel;
    this.#handle = handle;
    this.#session = session;
    this.#link = link;
    this.#sink = sink;
  }

  #forget(): void {
    this.#route = -1;
    this.#session = undefined;
    this.#link = undefined;
    this.#sink = undefined;
  }

  #deliver(): void {
    for (let sink = this.#pending.shift(); sink !== undefined; sink = this.#pending.shift()) {
      sink.deliver();
      sink.arrived.begin(noBytes);
    }
  }

  /** A settled transfer in one frame, with nothing out of the ordinary. */
  #parseTransfer(bytes: Buffer, start: number, end: number): boolean {
    // Frame header without extension, of type AMQP; described by small ulong 0x14; a list
    let at = start + frameHeaderBytes;
    if (end - start < 24 || bytes[start + 4] !== 2 || bytes[start + 5] !== 0) return false;
    if (bytes[at] !== 0 || bytes[at + 1] !== type.smallUlong || bytes[at + 2] !== 0x14) return false;
    let listEnd: number;
    let count: number;
    if (bytes[at + 3] === type.list8) {
      listEnd = at + 5 + bytes[at + 4]!;
      count = bytes[at + 5]!;
      at += 6;
    } else if (bytes[at + 3] === type.list32) {
      listEnd = at + 8 + readUint32(bytes, at + 4);
      count = readUint32(bytes, at + 8);
      at += 12;
    } else {
      return false;
    }
    if (listEnd >= end || count < 5 || count > 11) return false;

    const handleEnd = uintEnd(bytes, at);
    if (handleEnd < 0) return false;
    this.#frameHandle = readUint(bytes, at);
    const deliveryIdEnd = uintEnd(bytes, handleEnd);
    if (deliveryIdEnd < 0) return false;
    this.#deliveryId = readUint(bytes, handleEnd);
    if (bytes[deliveryIdEnd] !== type.binary8) return false;
    at = deliveryIdEnd + 2 + bytes[deliveryIdEnd + 1]!;
    const formatEnd = uintEnd(bytes, at);
    if (formatEnd < 0 || readUint(bytes, at) !== 0) return false;
    if (bytes[formatEnd] !== type.true) return false;
    at = formatEnd + 1;
    // more, receiver's settle mode, state, resume, aborted: none of them; batchable is a hint.
    for (let field = 5; field < count; field++, at++) {
      const code = bytes[at];
      if (code === type.null || code === type.false || (field === 10 && code === type.true)) continue;
      return false;
    }
    this.#payloadAt = listEnd;
    return at === listEnd;
  }
}

const noBytes = Buffer.alloc(0);

function uintEnd(bytes: Buffer, at: number): number {
  switch (bytes[at]) {
    case type.uint0:
      return at + 1;
    case type.smallUint:
      return at + 2;
    case type.uint:
      return at + 5;
    default:
      return -1;
  }
}

/** Of the three encodings {@link uintEnd} knows. */
function readUint(bytes: Buffer, at: number): number {
  switch (bytes[at]) {
    case type.uint0:
      return 0;
    case type.smallUint:
      return bytes[at + 1]!;
    default:
      return readUint32(bytes, at + 1);
  }
}
