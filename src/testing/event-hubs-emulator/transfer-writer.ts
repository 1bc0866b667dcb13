import type { Socket } from 'node:net';
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
 * here and nowhere else. Settled transfers need no disposition, so none can arrive late.
 */
export class TransferWriter {
  readonly #connection: RheaConnection;
  readonly #socket: Socket;
  #chunk: Chunk = { bytes: Buffer.alloc(0), writes: 0 };
  /** Chunks of which nothing waits in the socket; as many as the socket ever held at once. */
  readonly #free: Chunk[] = [];
  #start = 0;
  #at = 0;

  constructor(connection: RheaConnection, socket: Socket) {
    this.#connection = connection;
    this.#socket = socket;
  }

  /** False while the client reads too slowly; 'drain' of the socket follows. */
  get ready(): boolean {
    return this.#socket.writableLength < waitingBytesMax;
  }

  /** Whether the link has credit and the session's window takes a message of this size. */
  canSend(link: RheaLink, messageBytes: number): boolean {
    return link.credit > 0 && windowOf(link) >= Math.ceil(messageBytes / this.#payloadBytesMax());
  }

  /** Adds one message to the pending bytes: `inserted` goes in `headerBytes` after its start. Call `flush` afterwards. */
  send(
    link: RheaLink,
    source: Buffer,
    start: number,
    end: number,
    headerBytes: number,
    inserted: Buffer | undefined,
  ): void {
    const outgoing = link.session.outgoing;
    const deliveryId = outgoing.next_delivery_id;
    const total = end - start + (inserted?.length ?? 0);
    const payloadMax = this.#payloadBytesMax();
    if (total <= payloadMax) {
      this.#reserve(total + transferHeaderBytes);
      const frameStart = this.#beginFrame(link, deliveryId, false);
      if (inserted === undefined) {
        this.#at += source.copy(this.#chunk.bytes, this.#at, start, end);
      } else {
        this.#at += source.copy(this.#chunk.bytes, this.#at, start, start + headerBytes);
        this.#at += inserted.copy(this.#chunk.bytes, this.#at);
        this.#at += source.copy(this.#chunk.bytes, this.#at, start + headerBytes, end);
      }
      this.#endFrame(frameStart);
      outgoing.next_transfer_id = (outgoing.next_transfer_id + 1) >>> 0;
    } else {
      const message =
        inserted === undefined
          ? source.subarray(start, end)
          : Buffer.concat([
              source.subarray(start, start + headerBytes),
              inserted,
              source.subarray(start + headerBytes, end),
            ]);
      for (let from = 0; from < message.length; from += payloadMax) {
        const to = Math.min(from + payloadMax, message.length);
        this.#reserve(to - from + transferHeaderBytes);
        const frameStart = this.#beginFrame(link, deliveryId, to < message.length);
        this.#at += message.copy(this.#chunk.bytes, this.#at, from, to);
        this.#endFrame(frameStart);
        outgoing.next_transfer_id = (outgoing.next_transfer_id + 1) >>> 0;
      }
    }
    outgoing.next_delivery_id = (deliveryId + 1) >>> 0;
    outgoing.next_pending_delivery = outgoing.next_delivery_id;
    link.credit--;
    link.delivery_count++;
  }

  flush(): void {
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
    this.flush();
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

  #beginFrame(link: RheaLink, deliveryId: number, more: boolean): number {
    const chunk = this.#chunk.bytes;
    const frameStart = this.#at;
    let at = frameStart + 4;
    chunk[at++] = 2;
    chunk[at++] = 0;
    at = chunk.writeUInt16BE(link.session.local.channel, at);
    // transfer: list8 of handle, delivery-id, delivery-tag, message-format, settled, more
    chunk[at++] = 0x00;
    chunk[at++] = 0x53;
    chunk[at++] = 0x14;
    chunk[at++] = 0xc0;
    const sizeAt = at++;
    chunk[at++] = 6;
    chunk[at++] = 0x70;
    at = chunk.writeUInt32BE(link.local.handle, at);
    chunk[at++] = 0x70;
    at = chunk.writeUInt32BE(deliveryId, at);
    chunk[at++] = 0xa0;
    chunk[at++] = 4;
    at = chunk.writeUInt32BE(deliveryId, at);
    chunk[at++] = 0x43;
    chunk[at++] = 0x41;
    chunk[at++] = more ? 0x41 : 0x42;
    chunk[sizeAt] = at - sizeAt - 1;
    this.#at = at;
    return frameStart;
  }

  #endFrame(frameStart: number): void {
    this.#chunk.bytes.writeUInt32BE(this.#at - frameStart, frameStart);
  }

  #payloadBytesMax(): number {
    return Math.min(this.#connection.remote.open?.max_frame_size ?? frameBytesMax, frameBytesMax) - transferHeaderBytes;
  }
}

/** Transfers the peer's session still takes. */
function windowOf(link: RheaLink): number {
  const { remote_window, remote_next_transfer_id, next_transfer_id } = link.session.outgoing;
  return (remote_window ?? 0) - ((next_transfer_id - (remote_next_transfer_id ?? 0)) >>> 0);
}
