import { getUint32 } from './encoded-values.ts';
import type { RheaConnection, RheaLink } from './rhea-internals.ts';

/** Where the bytes of a delivery go, frame by frame. */
export interface PayloadSink {
  append(source: Buffer, start: number, end: number): void;
}

/** As on the service. */
export const frameBytesMax = 65_536;

const frameHeaderBytes = 8;
/** Frame header and performative of every transfer the clients write fit in; a larger one is rhea's. */
const headBytesMax = 128;
const noBytes = Buffer.alloc(0);

/**
 * Cuts what a connection receives into frames, and takes the payload of transfers out before rhea sees them: it goes to the
 * link's sink as it arrives, and rhea reads the frame without it. rhea joins the pieces of a frame and then those of a message,
 * in fresh memory both times, which was half the cost of taking in an event. All of the protocol stays with rhea.
 *
 * Invariants
 *   P1. rhea gets every frame, in order; a frame without its payload only after the sink has the payload.
 *   P2. What isn't plainly a transfer to a sink reaches rhea unchanged.
 *   P3. Nothing of the bytes is kept: who has them may use their memory again.
 */
export class PayloadInput {
  readonly #rhea: RheaConnection;
  readonly #readByRhea: (bytes: Buffer) => void;
  readonly #sinkOf: (link: RheaLink) => PayloadSink | undefined;
  /** Frames have begun to be cut here: no byte of a frame waits in rhea. */
  #cutting = false;
  /** The beginning of a frame of which too little has arrived. */
  #begun: Buffer = noBytes;
  /** Bytes of the current frame that are still to come for rhea. */
  #leftForRhea = 0;
  /** Bytes of the current payload that are still to come. */
  #left = 0;
  #sink: PayloadSink | undefined;
  /** The current frame without its payload. */
  #head: Buffer = noBytes;

  constructor(
    rhea: RheaConnection,
    readByRhea: (bytes: Buffer) => void,
    sinkOf: (link: RheaLink) => PayloadSink | undefined,
  ) {
    this.#rhea = rhea;
    this.#readByRhea = readByRhea;
    this.#sinkOf = sinkOf;
  }

  input(arrived: Buffer): void {
    const { amqp_transport: transport, frame_size: frameBytes, previous_input: previousInput } = this.#rhea;
    this.#cutting ||= Boolean(transport.header_received) && frameBytes === undefined && !previousInput;
    if (!this.#cutting) {
      this.#readByRhea(Buffer.from(arrived));
      return;
    }
    let bytes = arrived;
    if (this.#begun.length > 0) {
      bytes = Buffer.concat([this.#begun, arrived]);
      this.#begun = noBytes;
    }
    let at = this.#goOn(bytes);
    while (at < bytes.length && this.#rhea.socket_ready && !transport.read_complete) {
      const available = bytes.length - at;
      const size = available < frameHeaderBytes ? 0 : getUint32(bytes, at);
      if (available < frameHeaderBytes || (available < size && available < headBytesMax)) {
        this.#begun = Buffer.from(bytes.subarray(at));
        return;
      }
      const payloadAt = this.#payloadAt(bytes, at, size);
      if (payloadAt < 0) {
        const next = Math.min(at + Math.max(size, frameHeaderBytes), bytes.length);
        this.#leftForRhea = Math.max(0, size - (next - at));
        this.#readByRhea(Buffer.from(bytes.subarray(at, next)));
        at = next;
        continue;
      }
      this.#head = Buffer.from(bytes.subarray(at, payloadAt));
      this.#head.writeUInt32BE(this.#head.length);
      this.#left = at + size - payloadAt;
      at = payloadAt + this.#takePayload(bytes, payloadAt);
    }
  }

  /** Reads on in the frame that the bytes before ended in; returns where it ends. */
  #goOn(bytes: Buffer): number {
    if (this.#left > 0) return this.#takePayload(bytes, 0);
    const forRhea = Math.min(this.#leftForRhea, bytes.length);
    if (forRhea > 0) {
      this.#leftForRhea -= forRhea;
      this.#readByRhea(Buffer.from(bytes.subarray(0, forRhea)));
    }
    return forRhea;
  }

  /** Returns how many bytes it has taken. */
  #takePayload(bytes: Buffer, at: number): number {
    const taken = Math.min(this.#left, bytes.length - at);
    this.#sink!.append(bytes, at, at + taken);
    this.#left -= taken;
    if (this.#left === 0) this.#readByRhea(this.#head); // P1
    return taken;
  }

  /** Where the payload of the frame begins; -1 when the frame isn't a transfer to a sink. */
  #payloadAt(bytes: Buffer, at: number, size: number): number {
    // Frame header without extension, of type AMQP; described by small ulong 0x14; a list
    const list = at + frameHeaderBytes + 3;
    if (size < 24 || size > frameBytesMax || bytes[at + 4] !== 2 || bytes[at + 5] !== 0) return -1;
    if (bytes[list - 3] !== 0 || bytes[list - 2] !== 0x53 || bytes[list - 1] !== 0x14) return -1;
    const isShort = bytes[list] === 0xc0;
    if (!isShort && bytes[list] !== 0xd0) return -1;
    const payloadAt = isShort ? list + 2 + bytes[list + 1]! : list + 5 + getUint32(bytes, list + 1);
    if (payloadAt > at + headBytesMax || payloadAt >= at + size) return -1;
    const handle = readHandle(bytes, isShort ? list + 3 : list + 9);
    const link = this.#rhea.remote_channel_map[(bytes[at + 6]! << 8) | bytes[at + 7]!]?.remote.handles[handle];
    this.#sink = link && this.#sinkOf(link);
    return this.#sink === undefined ? -1 : payloadAt;
  }
}

/** An uint; -1 for anything else. */
function readHandle(bytes: Buffer, at: number): number {
  switch (bytes[at]) {
    case 0x43:
      return 0;
    case 0x52:
      return bytes[at + 1]!;
    case 0x70:
      return getUint32(bytes, at + 1);
    default:
      return -1;
  }
}
