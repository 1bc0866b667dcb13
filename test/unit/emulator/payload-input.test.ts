import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DeliveryBytes } from '../../../src/testing/event-hubs-emulator/delivery-bytes.ts';
import { frameBytesMax, PayloadInput } from '../../../src/testing/event-hubs-emulator/payload-input.ts';
import type { RheaConnection } from '../../../src/testing/event-hubs-emulator/rhea-internals.ts';

interface Frame {
  readonly channel: number;
  readonly handle: number;
  readonly isTransfer: boolean;
  readonly isLong: boolean;
  readonly payload: Buffer;
}

/** As a client writes it; without its payload it is what rhea shall get. */
function frame({ channel, handle, isTransfer, isLong }: Frame, payload: Buffer): Buffer {
  const fields = Buffer.from([0x52, handle, 0x43, 0xa0, 1, 7, 0x43, 0x42, isTransfer ? 0x41 : 0x42]);
  const list = isLong
    ? Buffer.concat([Buffer.from([0xd0, 0, 0, 0, fields.length + 4, 0, 0, 0, 6]), fields])
    : Buffer.concat([Buffer.from([0xc0, fields.length + 1, 6]), fields]);
  const body = Buffer.concat([Buffer.from([0, 0x53, isTransfer ? 0x14 : 0x13]), list, payload]);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(8 + body.length);
  head.set([2, 0, 0, channel], 4);
  return Buffer.concat([head, body]);
}

/** Channel 0, handle 1 is the link of a producer. */
const goesToSink = ({ channel, handle, isTransfer, payload }: Frame): boolean =>
  channel === 0 && handle === 1 && isTransfer && payload.length > 0;

class Connection {
  readonly #got: [string, Buffer][] = [];
  readonly rhea = {
    amqp_transport: { header_received: true as unknown, read_complete: false },
    frame_size: undefined as number | undefined,
    previous_input: undefined,
    socket_ready: true,
    remote_channel_map: { 0: { remote: { handles: { 1: {}, 2: {} } } } },
  };
  readonly #input: PayloadInput;

  constructor() {
    const { rhea } = this;
    this.#input = new PayloadInput(
      rhea as unknown as RheaConnection,
      (bytes) => this.#got.push(['rhea', bytes]),
      (link) =>
        link === (rhea.remote_channel_map[0].remote.handles[1] as unknown)
          ? { append: (source, start, end) => this.#got.push(['sink', Buffer.from(source.subarray(start, end))]) }
          : undefined,
    );
  }

  /** The memory is used for something else afterwards, as that of the socket is. */
  feed(bytes: Buffer): void {
    const chunk = Buffer.from(new Uint8Array(bytes));
    this.#input.input(chunk);
    chunk.fill(0xee);
  }

  get seen(): [string, Buffer][] {
    return joined(this.#got);
  }
}

/** Who got what, in order; bytes for the same one in a row are one entry. */
function joined(got: readonly [string, Buffer][]): [string, Buffer][] {
  const seen: [string, Buffer][] = [];
  for (const [who, bytes] of got) {
    const last = seen.at(-1);
    if (last?.[0] === who) last[1] = Buffer.concat([last[1], bytes]);
    else seen.push([who, bytes]);
  }
  return seen;
}

function expected(frames: readonly Frame[]): [string, Buffer][] {
  const got: [string, Buffer][] = [];
  for (const item of frames) {
    if (goesToSink(item)) {
      got.push(['sink', item.payload]);
      got.push(['rhea', frame(item, Buffer.alloc(0))]);
    } else {
      got.push(['rhea', frame(item, item.payload)]);
    }
  }
  return joined(got);
}

const arbitraryFrame: fc.Arbitrary<Frame> = fc.record({
  channel: fc.constantFrom(0, 0, 0, 1),
  handle: fc.constantFrom(1, 1, 1, 2, 3),
  isTransfer: fc.constantFrom(true, true, true, false),
  isLong: fc.boolean(),
  payload: fc
    .oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 100, maxLength: 1000 }))
    .map(Buffer.from),
});

describe('what a connection receives', () => {
  it('goes to rhea but for the payload of transfers to producers, in order and however it is cut', () => {
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
    fc.assert(
      fc.property(fc.array(arbitraryFrame, { minLength: 1, maxLength: 8 }), cuts, (frames, at) => {
        const wire = Buffer.concat(frames.map((item) => frame(item, item.payload)));
        const ends = [...at.map((share) => Math.floor(share * wire.length)).sort((a, b) => a - b), wire.length];
        const connection = new Connection();
        for (let i = 0, from = 0; i < ends.length; from = ends[i]!, i++) connection.feed(wire.subarray(from, ends[i]));
        expect(connection.seen).toEqual(expected(frames));
      }),
      { numRuns: 500 },
    );
  });

  it('may come byte by byte', () => {
    const item: Frame = { channel: 0, handle: 1, isTransfer: true, isLong: true, payload: Buffer.from('payload') };
    const frames = [item, { ...item, handle: 2 }, { ...item, isLong: false }];
    const connection = new Connection();
    for (const byte of Buffer.concat(frames.map((one) => frame(one, one.payload))))
      connection.feed(Buffer.from([byte]));
    expect(connection.seen).toEqual(expected(frames));
  });

  it('is rhea’s alone before the protocol has begun, while a frame waits there, and after the connection is over', () => {
    const item: Frame = { channel: 0, handle: 1, isTransfer: true, isLong: false, payload: Buffer.from('payload') };
    const wire = frame(item, item.payload);
    const connection = new Connection();
    connection.rhea.amqp_transport.header_received = undefined;
    connection.feed(wire);
    connection.rhea.amqp_transport.header_received = true;
    connection.rhea.frame_size = 100;
    connection.feed(wire);
    expect(connection.seen).toEqual([['rhea', Buffer.concat([wire, wire])]]);
    connection.rhea.frame_size = undefined;
    connection.feed(wire);
    expect(connection.seen).toHaveLength(3);
    connection.rhea.socket_ready = false;
    connection.feed(wire);
    expect(connection.seen).toHaveLength(3);
  });

  it('with a frame larger than allowed is left to rhea, which ends the connection', () => {
    const item: Frame = {
      channel: 0,
      handle: 1,
      isTransfer: true,
      isLong: false,
      payload: Buffer.alloc(frameBytesMax),
    };
    const connection = new Connection();
    connection.feed(frame(item, item.payload).subarray(0, 1000));
    expect(connection.seen.map(([who]) => who)).toEqual(['rhea']);
  });
});

describe('the bytes of a delivery', () => {
  const bytes = (text: string): Buffer => Buffer.from(text);

  it('are joined, and counted but not kept beyond the limit', () => {
    const delivery = new DeliveryBytes({ buffer: Buffer.alloc(0) }, 10);
    delivery.append(bytes('xabcx'), 1, 4);
    delivery.append(bytes('def'), 0, 3);
    expect(delivery.bytes().toString()).toBe('abcdef');
    delivery.append(bytes('ghijk'), 0, 5);
    expect(delivery.size).toBe(11);
    delivery.clear();
    delivery.append(bytes('new'), 0, 3);
    expect(delivery.bytes().toString()).toBe('new');
  });

  it('grow over what the memory of the connection holds, and two at once share nothing', () => {
    const spare = { buffer: Buffer.alloc(0) };
    const [one, other] = [new DeliveryBytes(spare, 2 ** 20), new DeliveryBytes(spare, 2 ** 20)];
    const piece = Buffer.alloc(50_000, 'a');
    for (let i = 0; i < 5; i++) one.append(piece, 0, piece.length);
    expect(one.bytes().equals(Buffer.alloc(250_000, 'a'))).toBe(true);
    one.clear();
    const used = spare.buffer;
    one.append(bytes('one'), 0, 3);
    other.append(bytes('other'), 0, 5);
    expect([one.bytes().buffer === used.buffer, one.bytes().toString(), other.bytes().toString()]).toEqual([
      true,
      'one',
      'other',
    ]);
  });
});
