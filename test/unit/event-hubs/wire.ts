import type { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { duplexPair } from 'node:stream';
import rhea from 'rhea';
import { ArrivedEvents } from '../../../src/sources/event-hubs/arrived-events.ts';
import {
  type RheaConnection,
  type RheaReceiver,
  TransferReader,
} from '../../../src/sources/event-hubs/azure-transfer-reader.ts';
import {
  type AmqpMessage,
  type BodyFormat,
  decodeEvent,
  type EventHubEvent,
} from '../../../src/sources/event-hubs/event-hub-event.ts';
import { PackedEvents } from '../../../src/sources/event-hubs/packed-events.ts';

const require = createRequire(import.meta.url);
const types = require('rhea/lib/types.js');
const frames = require('rhea/lib/frames.js');

export { types };
export type Typed = object;

/** One described value, encoded by rhea. */
export function section(code: number, value: Typed): Buffer {
  const writer = new types.Writer();
  writer.write(types.described(types.wrap_ulong(code), value));
  return Buffer.from(writer.toBuffer());
}

export function annotations(sequenceNumber: number, others: readonly Typed[] = [], map = types.Map32): Buffer {
  return section(
    0x72,
    map([
      types.wrap_symbol('x-opt-sequence-number'),
      types.wrap_long(sequenceNumber),
      types.wrap_symbol('x-opt-offset'),
      types.wrap_string(String(sequenceNumber * 100)),
      types.wrap_symbol('x-opt-enqueued-time'),
      types.wrap_timestamp(1_700_000_000_000 + sequenceNumber),
      ...others,
    ]),
  );
}

export function data(body: Buffer): Buffer {
  return section(0x75, types.wrap_binary(body));
}

export interface TransferOptions {
  readonly settled?: boolean;
  readonly more?: boolean;
  readonly format?: number | undefined;
  /** Delivery id of a frame that goes on with a delivery is left out. */
  readonly isContinuation?: boolean;
  /** As compact encoders write it; otherwise as rhea does. */
  readonly compact?: boolean;
}

export function transfer(channel: number, id: number, payload: Buffer, options: TransferOptions = {}): Buffer {
  const { settled = true, more = false, format = 0, isContinuation = false, compact = true } = options;
  const fields = isContinuation
    ? { handle: 0, more }
    : { handle: 0, delivery_id: id, delivery_tag: Buffer.from([id & 0xff]), message_format: format, settled, more };
  if (!compact) {
    return Buffer.from(frames.write_frame(frames.amqp_frame(channel, frames.transfer(fields), payload)));
  }
  const performative = frames.transfer(fields);
  const writer = new types.Writer();
  writer.write(types.described(types.wrap_ulong(0x14), types.List8(performative.value)));
  const body = Buffer.concat([writer.toBuffer(), payload]);
  const frame = Buffer.alloc(8 + body.length);
  frame.writeUInt32BE(frame.length, 0);
  frame[4] = 2;
  frame.writeUInt16BE(channel, 6);
  body.copy(frame, 8);
  return frame;
}

interface RheaClient extends EventEmitter, RheaConnection {
  input(bytes: Buffer): void;
  open_receiver(options: object): RheaReceiver & EventEmitter & { add_credit(credit: number): void };
  create_session(): { open(): void; open_receiver: RheaClient['open_receiver'] };
}

/**
 * A client connection of rhea with receive links on sessions of their own, channel 0 and up. The peer is rhea too, for the
 * handshake; then the test is the peer, by `feed`.
 */
export class WireClient {
  /** What came without passing through rhea. */
  direct = 0;
  error: unknown;
  readonly #connection: RheaClient;
  readonly #events: EventHubEvent[][] = [];
  readonly #links: (RheaReceiver & EventEmitter)[] = [];
  readonly #format: BodyFormat;
  readonly #chunks: Buffer[] = [];
  #reader: TransferReader | undefined;

  private constructor(connection: RheaClient, format: BodyFormat) {
    this.#connection = connection;
    this.#format = format;
  }

  static async open(links: number, readDirectly: boolean, format: BodyFormat = 'json'): Promise<WireClient> {
    const [near, far] = duplexPair();
    const server = rhea.create_container({ id: 'peer' });
    for (const event of ['error', 'disconnected', 'protocol_error']) server.on(event, () => undefined);
    server.on('connection_open', () => undefined);
    (server as unknown as { create_connection(options: object): { accept(socket: unknown): void } })
      .create_connection({ reconnect: false })
      .accept(far);
    const connection = rhea.create_container().create_connection({
      reconnect: false,
      connection_details: () => ({
        connect: (_port: number, _host: string, _options: unknown, connected: () => void) => {
          process.nextTick(connected);
          return near;
        },
      }),
    } as never) as unknown as RheaClient & { connect(): void };
    const client = new WireClient(connection, format);
    for (const event of ['error', 'protocol_error', 'disconnected']) {
      connection.on(event, (error: unknown) => {
        client.error ??= error instanceof Error ? error.message : event;
      });
    }
    connection.connect();
    for (let channel = 0; channel < links; channel++) {
      const session = connection.create_session();
      session.open();
      const link = session.open_receiver({ source: `s${channel}`, credit_window: 0, autoaccept: true });
      await new Promise((resolve) => link.once('receiver_open', resolve));
      link.add_credit(1_000_000);
      client.#links.push(link);
      client.#events.push([]);
      link.on('message', (context: { message: AmqpMessage }) => client.#receive(context.message, channel));
      if (readDirectly) {
        client.#reader ??= new TransferReader(connection);
        const arrived = new ArrivedEvents(String(channel), format);
        client.#reader.take(link, { arrived, deliver: () => client.#unpack(arrived) });
      }
    }
    await client.settle();
    return client;
  }

  /** In the order they came, one link after the other; `partitionId` is the channel. */
  get events(): EventHubEvent[] {
    return this.#events.flat();
  }

  /** False once the connection has failed. */
  feed(bytes: Buffer): boolean {
    const chunk = Buffer.from(new Uint8Array(bytes));
    if (this.#reader === undefined) {
      this.#chunks.push(chunk);
      this.#connection.input(chunk);
    } else {
      this.#reader.input(chunk);
      // As the next read of the socket does.
      chunk.fill(0xee);
    }
    return this.error === undefined;
  }

  /** Overwrites all that was fed to rhea: what points into it is seen. */
  overwrite(): void {
    for (const chunk of this.#chunks) chunk.fill(0xee);
  }

  /** rhea looks after its sessions in the ticks that follow. */
  async settle(): Promise<void> {
    for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Everything its next flow frames depend on. */
  get counters(): unknown {
    return this.#links.map((link) => {
      const { incoming } = (link as unknown as { session: { incoming: Record<string, unknown> } }).session;
      const { next_transfer_id, next_delivery_id, max_transfer_id, window } = incoming;
      const { credit, delivery_count } = link;
      return { next_transfer_id, next_delivery_id, max_transfer_id, window, credit, delivery_count };
    });
  }

  close(): void {
    const { socket } = this.#connection as unknown as { socket: { destroy(): void } };
    (this.#connection as unknown as { _disconnected(): void })._disconnected();
    socket.destroy();
  }

  #receive(message: AmqpMessage, channel: number): void {
    const events = this.#events[channel]!;
    try {
      if (Buffer.isBuffer(message)) throw new RangeError('unknown format');
      events.push(decodeEvent(message, String(channel), this.#format));
    } catch (error) {
      events.push({ body: `refused: ${(error as Error).message}` } as EventHubEvent);
    }
  }

  #unpack(arrived: ArrivedEvents): void {
    this.direct += arrived.count;
    for (let i = 0; i < arrived.count; i++) {
      const packed = new PackedEvents(arrived, i);
      packed.append(arrived, i);
      packed.collect(packed.from, packed.to, this.#events[Number(arrived.partitionId)]!);
    }
  }
}
