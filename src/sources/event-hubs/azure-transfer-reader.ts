import type { ArrivedEvents } from './arrived-events.ts';
import { EventScanner } from './event-scanner.ts';
import { FrameCutter } from './frame-cutter.ts';
import { FrameLayout } from './frame-layout.ts';
import { TransferFrame } from './transfer-frame.ts';

/** The insides of rhea 3 this relies on: everything is named here, so an upgrade has one page to check. */
export interface RheaTransport {
  readonly header_received: unknown;
  readonly read_complete: boolean;
}

export interface RheaConnection {
  readonly amqp_transport: RheaTransport;
  /** Size of the frame of which a part has arrived. */
  readonly frame_size: number | undefined;
  readonly previous_input: Buffer | null | undefined;
  /** What made reading end. */
  readonly saved_error?: unknown;
  /** Takes what has arrived, keeps parts of it. Doesn't throw. */
  input(bytes: Buffer): void;
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

interface Route {
  readonly session: RheaSession;
  readonly link: RheaReceiver;
  readonly sink: TransferSink;
  readonly layout: FrameLayout;
}

const noBytes = Buffer.alloc(0);

/**
 * Reads the usual transfers of one connection in place of rhea: settled, of one frame and message format 0, on a link that
 * has a sink, with a message the scanner accepts. Every other frame goes to rhea, unchanged and in order.
 *
 * rhea makes an object, a getter call or a closure of every field of every frame; this was nine tenths of the cost of an
 * event. Frames are cut here, so that rhea gets whole ones, in memory of their own.
 *
 * Invariants
 *   T1. rhea's counters (transfer id, delivery id, credit, delivery count) are as if it had read the frames itself whenever
 *       anything but this class runs, so the flow frames it writes are right.
 *   T2. A frame is decided on before anything is changed, and whatever rhea would refuse it gets to refuse.
 *   T3. What has been read is delivered before rhea gets the next frame: events and their link's end keep their order.
 *   T4. Nothing of the bytes is kept: who has them may use their memory again.
 */
export class TransferReader {
  readonly #connection: RheaConnection;
  readonly #sinks = new Map<RheaReceiver, { readonly sink: TransferSink; readonly layout: FrameLayout }>();
  readonly #frame = new TransferFrame();
  readonly #scanner = new EventScanner();
  readonly #cutter: FrameCutter;
  /** Frames have begun to be cut here: no byte of one waits in rhea. */
  #cutting = false;
  /** Sinks that hold something of these bytes. */
  readonly #pending: TransferSink[] = [];
  #tookAny = false;

  // The link of the last transfer. Only a frame that rhea reads, or a delivery, can change what is known of it.
  #route: Route | undefined;
  #channel = -1;
  #handle = -1;
  /** What may come next of that link, and what came that rhea has not been told of. */
  #nextDeliveryId: number | undefined;
  #credit = 0;
  #taken = 0;

  constructor(connection: RheaConnection) {
    this.#connection = connection;
    this.#cutter = new FrameCutter({
      whole: (bytes, start, end) => this.#read(bytes, start, end),
      rest: (bytes) => this.#giveToRhea(bytes),
    });
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
    this.#sinks.set(link, { sink, layout: new FrameLayout() });
    this.#leave();
    return () => {
      this.#leave();
      this.#sinks.delete(link);
    };
  }

  /** What the socket has received: all of it, in order. */
  input(bytes: Buffer): void {
    const connection = this.#connection;
    const { amqp_transport: transport, frame_size: frameBytes, previous_input: previousInput } = connection;
    this.#cutting ||= Boolean(transport.header_received) && frameBytes === undefined && !previousInput;
    if (!this.#cutting) {
      connection.input(Buffer.from(bytes));
      return;
    }
    this.#tookAny = false;
    this.#cutter.cut(bytes);
    this.#deliver();
    if (!this.#tookAny) return;
    connection._register();
    // rhea notes that the peer is alive.
    if (!this.#isOver) connection.input(noBytes);
  }

  /** rhea has given up on what came, or has seen the end. */
  get #isOver(): boolean {
    return this.#connection.saved_error !== undefined || this.#connection.amqp_transport.read_complete;
  }

  #giveToRhea(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#deliver(); // T3
    this.#connection.input(bytes);
  }

  #read(bytes: Buffer, start: number, end: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    /** Where the frames begin that rhea is to have; what is behind them is decided on when it has them. */
    let forRhea = -1;
    for (let at = start; at < end; ) {
      const next = at + view.getUint32(at);
      if (forRhea >= 0 && this.#frame.parse(bytes, at, next)) {
        this.#giveToRhea(Buffer.from(bytes.subarray(forRhea, at)));
        forRhea = -1;
      }
      if (forRhea < 0 && !this.#takeAsBefore(bytes, view, at, next) && !this.#take(bytes, view, at, next)) forRhea = at;
      at = next;
    }
    if (forRhea >= 0) this.#giveToRhea(Buffer.from(bytes.subarray(forRhea, end)));
    else this.#deliver();
  }

  /** A frame that differs from the one before in its values only. False leaves everything as it was. */
  #takeAsBefore(bytes: Buffer, view: DataView, start: number, end: number): boolean {
    const route = this.#route;
    if (route === undefined || this.#credit <= 0) return false;
    const { layout, sink } = route;
    if (!layout.matches(view, start, end)) return false;
    if (this.#nextDeliveryId !== undefined && this.#nextDeliveryId !== layout.deliveryId) return false;
    this.#begin(sink, bytes);
    sink.arrived.addBare(layout, start + layout.length, end);
    this.#took(sink, layout.deliveryId);
    return true;
  }

  /** False leaves the frame to rhea, and everything as it was. */
  #take(bytes: Buffer, view: DataView, start: number, end: number): boolean {
    const frame = this.#frame;
    if (this.#isOver || !frame.parse(bytes, start, end)) return false;
    const channel = view.getUint16(start + 6);
    if (this.#route === undefined || channel !== this.#channel || frame.handle !== this.#handle) {
      this.#leave();
      this.#enter(channel, frame.handle);
      if (this.#takeAsBefore(bytes, view, start, end)) return true;
    }
    const route = this.#route;
    if (route === undefined || this.#credit <= 0) return false;
    if (this.#nextDeliveryId !== undefined && this.#nextDeliveryId !== frame.deliveryId) return false;
    if (!this.#scanner.scan(bytes, frame.payloadAt, end)) return false;
    const { layout, sink } = route;
    layout.learn(bytes, frame, this.#scanner);
    this.#begin(sink, bytes);
    sink.arrived.add(this.#scanner, end);
    this.#took(sink, frame.deliveryId);
    return true;
  }

  #begin(sink: TransferSink, bytes: Buffer): void {
    if (sink.arrived.count > 0) return;
    sink.arrived.begin(bytes);
    this.#pending.push(sink);
  }

  #took(sink: TransferSink, deliveryId: number): void {
    this.#nextDeliveryId = deliveryId + 1;
    this.#credit--;
    this.#taken++;
    if (sink.arrived.isFull) this.#deliver();
  }

  #enter(channel: number, handle: number): void {
    const session = this.#connection.remote_channel_map[channel];
    const link = session?.remote.handles[handle];
    const found = link === undefined || !link.is_remote_open() ? undefined : this.#sinks.get(link);
    if (session === undefined || link === undefined || found === undefined) return;
    // It has a delivery that is not at its end.
    if (session.incoming.deliveries.size > 0 || link._incomplete !== undefined) return;
    this.#channel = channel;
    this.#handle = handle;
    this.#nextDeliveryId = session.incoming.next_delivery_id;
    this.#credit = link.credit;
    this.#route = { session, link, ...found };
  }

  /** T1: nothing is known of the link any more. */
  #leave(): void {
    const taken = this.#taken;
    if (taken > 0) {
      const { session, link } = this.#route!;
      session.incoming.next_transfer_id += taken;
      session.incoming.next_delivery_id = this.#nextDeliveryId;
      link.credit -= taken;
      link.delivery_count += taken;
      this.#taken = 0;
      this.#tookAny = true;
    }
    this.#route = undefined;
  }

  #deliver(): void {
    this.#leave();
    for (let sink = this.#pending.shift(); sink !== undefined; sink = this.#pending.shift()) {
      sink.deliver();
      sink.arrived.begin(noBytes);
    }
  }
}
