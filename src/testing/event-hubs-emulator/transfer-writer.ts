import type { Socket } from 'node:net';
import { putUint32 } from './encoded-values.ts';
import { frameBytesMax } from './payload-input.ts';
import type { RheaConnection, RheaLink } from './rhea-internals.ts';

const chunkBytes = 256 * 1024;
/** Frame header, performative and its largest fields. */
const transferHeaderBytes = 48;
/** Stop sending while this much waits in the socket. */
const waitingBytesMax = 1024 * 1024;

interface Chunk {
  readonly bytes: Buffer;
  /** Parts of it the socket has not written yet. */
  writes: number;
}

/**
 * Writes pre-settled transfers straight to the socket of a connection, many per write. rhea builds one object per
 * delivery and one write per frame, about six times the cost; it still does everything else on the connection.
 *
 * Invariant: rhea sends no transfer itself on a server connection, so its delivery and transfer counters are advanced
 * here and nowhere else, before anything but the loop that sends runs again. Settled transfers need no disposition, so none can
 * arrive late.
 */
export class TransferWriter {
  readonly #connection: RheaConnection;
  readonly #socket: Socket;
  #chunk: Chunk = { bytes: Buffer.alloc(0), writes: 0 };
  /** Chunks of which nothing waits in the socket; as many as the socket ever held at once. */
  readonly #free: Chunk[] = [];
  #start = 0;
  #at = 0;

  // Of the link between `begin` and `flush`: reading and counting in rhea's objects costs as much as the rest of an event.
  #link: RheaLink | undefined;
  #channel = 0;
  #handle = 0;
  #nextDeliveryId = 0;
  #credit = 0;
  #window = 0;
  #payloadBytesMax = 0;
  #deliveries = 0;
  #transfers = 0;

  constructor(connection: RheaConnection, socket: Socket) {
    this.#connection = connection;
    this.#socket = socket;
  }

  /** False while the client reads too slowly; 'drain' of the socket follows. */
  get ready(): boolean {
    return this.#socket.writableLength < waitingBytesMax;
  }

  /** What is sent from here on, up to `flush`, goes over the link. */
  begin(link: RheaLink): void {
    const { outgoing, local } = link.session;
    this.#link = link;
    this.#channel = local.channel;
    this.#handle = link.local.handle;
    this.#nextDeliveryId = outgoing.next_delivery_id;
    this.#credit = link.credit;
    this.#window = windowOf(link);
    this.#deliveries = 0;
    this.#transfers = 0;
    const frameBytes = this.#connection.remote.open?.max_frame_size ?? frameBytesMax;
    this.#payloadBytesMax = Math.min(frameBytes, frameBytesMax) - transferHeaderBytes;
  }

  /** Whether the link has credit and the session's window takes a message of this size. */
  canSend(messageBytes: number): boolean {
    const max = this.#payloadBytesMax;
    return this.#credit > 0 && this.#window >= (messageBytes <= max ? 1 : Math.ceil(messageBytes / max));
  }

  /** Adds one message to the pending bytes: of `inserted` the first `insertedBytes` go in `headerBytes` after its start. */
  send(source: Buffer, start: number, end: number, headerBytes: number, inserted: Buffer, insertedBytes: number): void {
    const total = end - start + insertedBytes;
    const payloadMax = this.#payloadBytesMax;
    if (total <= payloadMax) {
      this.#reserve(total + transferHeaderBytes);
      const frameStart = this.#beginFrame(false);
      const chunk = this.#chunk.bytes;
      let at = this.#at;
      if (headerBytes > 0) at += source.copy(chunk, at, start, start + headerBytes);
      if (insertedBytes > 0) at += inserted.copy(chunk, at, 0, insertedBytes);
      this.#at = at + source.copy(chunk, at, start + headerBytes, end);
      this.#endFrame(frameStart);
    } else {
      const message = Buffer.concat([
        source.subarray(start, start + headerBytes),
        inserted.subarray(0, insertedBytes),
        source.subarray(start + headerBytes, end),
      ]);
      for (let from = 0; from < message.length; from += payloadMax) {
        const to = Math.min(from + payloadMax, message.length);
        this.#reserve(to - from + transferHeaderBytes);
        const frameStart = this.#beginFrame(to < message.length);
        this.#at += message.copy(this.#chunk.bytes, this.#at, from, to);
        this.#endFrame(frameStart);
      }
    }
    this.#nextDeliveryId = (this.#nextDeliveryId + 1) >>> 0;
    this.#deliveries++;
    this.#credit--;
  }

  /** Hands what was sent to the socket, and tells rhea of it. */
  flush(): void {
    this.#count();
    this.#write();
  }

  #count(): void {
    const link = this.#link;
    this.#link = undefined;
    if (link === undefined || this.#deliveries === 0) return;
    const { outgoing } = link.session;
    outgoing.next_transfer_id = (outgoing.next_transfer_id + this.#transfers) >>> 0;
    outgoing.next_delivery_id = this.#nextDeliveryId;
    outgoing.next_pending_delivery = this.#nextDeliveryId;
    link.credit -= this.#deliveries;
    link.delivery_count += this.#deliveries;
  }

  #write(): void {
    if (this.#at === this.#start) return;
    const chunk = this.#chunk;
    const bytes = chunk.bytes.subarray(this.#start, this.#at);
    this.#start = this.#at;
    if (this.#socket.destroyed) return;
    chunk.writes++;
    this.#socket.write(bytes, () => {
      chunk.writes--;
      if (chunk.writes === 0 && chunk !== this.#chunk) this.#reuse(chunk);
    });
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#chunk.bytes.length) return;
    this.#write();
    if (this.#chunk.writes === 0) this.#reuse(this.#chunk);
    this.#chunk =
      bytes <= chunkBytes && this.#free.length > 0
        ? this.#free.pop()!
        : { bytes: Buffer.allocUnsafeSlow(Math.max(chunkBytes, bytes)), writes: 0 };
    this.#start = 0;
    this.#at = 0;
  }

  #reuse(chunk: Chunk): void {
    if (chunk.bytes.length === chunkBytes) this.#free.push(chunk);
  }

  #beginFrame(more: boolean): number {
    const deliveryId = this.#nextDeliveryId;
    const chunk = this.#chunk.bytes;
    const frameStart = this.#at;
    let at = frameStart + 4;
    chunk[at++] = 2;
    chunk[at++] = 0;
    chunk[at++] = this.#channel >>> 8;
    chunk[at++] = this.#channel;
    // transfer: list8 of handle, delivery-id, delivery-tag, message-format, settled, more
    chunk[at++] = 0x00;
    chunk[at++] = 0x53;
    chunk[at++] = 0x14;
    chunk[at++] = 0xc0;
    const sizeAt = at++;
    chunk[at++] = 6;
    chunk[at++] = 0x70;
    putUint32(chunk, this.#handle, at);
    at += 4;
    chunk[at++] = 0x70;
    putUint32(chunk, deliveryId, at);
    at += 4;
    chunk[at++] = 0xa0;
    chunk[at++] = 4;
    putUint32(chunk, deliveryId, at);
    at += 4;
    chunk[at++] = 0x43;
    chunk[at++] = 0x41;
    chunk[at++] = more ? 0x41 : 0x42;
    chunk[sizeAt] = at - sizeAt - 1;
    this.#at = at;
    return frameStart;
  }

  #endFrame(frameStart: number): void {
    putUint32(this.#chunk.bytes, this.#at - frameStart, frameStart);
    this.#transfers++;
    this.#window--;
  }
}

/** Transfers the peer's session still takes. */
function windowOf(link: RheaLink): number {
  const { remote_window, remote_next_transfer_id, next_transfer_id } = link.session.outgoing;
  return (remote_window ?? 0) - ((next_transfer_id - (remote_next_transfer_id ?? 0)) >>> 0);
}
