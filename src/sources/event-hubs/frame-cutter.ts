import { readUint32 } from './amqp-plain-value.ts';
import { frameHeaderBytes } from './transfer-frame.ts';

/** Larger frames are handed on as they come, nobody sends any. */
const frameBytesMax = 256 * 1024;
const noBytes = Buffer.alloc(0);

export interface CutFrames {
  /** Whole frames, one after the other, in memory that is used again. */
  whole(bytes: Buffer, start: number, end: number): void;
  /** Bytes, in memory of their own, of a frame that is too large, or of what is no frame and all that follows. */
  rest(bytes: Buffer): void;
}

/**
 * Cuts the bytes of a connection into whole frames where they arrived, and puts together those that arrived in pieces: one
 * of many, so next to nothing is copied.
 *
 * Keeps nothing of the bytes it is given. What it hands on is in order and complete.
 */
export class FrameCutter {
  readonly #frames: CutFrames;
  /** The beginning of a frame of which the rest has not arrived. */
  #begun: Buffer = noBytes;
  #begunBytes = 0;
  /** Bytes of a large frame that are still to come. */
  #restBytes = 0;

  constructor(frames: CutFrames) {
    this.#frames = frames;
  }

  cut(bytes: Buffer): void {
    let at = 0;
    if (this.#restBytes > 0) {
      at = Math.min(this.#restBytes, bytes.length);
      this.#restBytes -= at;
      this.#frames.rest(Buffer.from(bytes.subarray(0, at)));
    }
    if (this.#begunBytes > 0) at = this.#complete(bytes);
    if (at === bytes.length) return;
    let end = at;
    let size: number | undefined;
    while (end + 4 <= bytes.length) {
      size = readUint32(bytes, end);
      if (!isFrame(size) || end + size > bytes.length) break;
      end += size;
      size = undefined;
    }
    if (end > at) this.#frames.whole(bytes, at, end);
    if (end === bytes.length) return;
    if (size !== undefined && !isFrame(size)) this.#handOn(bytes.subarray(end), size);
    else this.#keep(bytes, end, bytes.length, size ?? 0);
  }

  /** Goes on with the frame that the bytes before ended in; returns where it ends. */
  #complete(bytes: Buffer): number {
    const sizeEnd = Math.max(0, Math.min(4 - this.#begunBytes, bytes.length));
    this.#keep(bytes, 0, sizeEnd, 0);
    if (this.#begunBytes < 4) return sizeEnd;
    const size = readUint32(this.#begun, 0);
    if (!isFrame(size)) {
      const begun = this.#begun.subarray(0, this.#begunBytes);
      this.#begunBytes = 0;
      this.#handOn(begun, size);
      const more = Math.min(this.#restBytes, bytes.length - sizeEnd);
      this.#restBytes -= more;
      if (more > 0) this.#frames.rest(Buffer.from(bytes.subarray(sizeEnd, sizeEnd + more)));
      return sizeEnd + more;
    }
    const end = Math.min(bytes.length, sizeEnd + size - this.#begunBytes);
    this.#keep(bytes, sizeEnd, end, size);
    if (this.#begunBytes < size) return end;
    this.#begunBytes = 0;
    this.#frames.whole(this.#begun, 0, size);
    return end;
  }

  /** The beginning of what is not kept until it is whole. */
  #handOn(begun: Buffer, size: number): void {
    this.#restBytes = size < frameHeaderBytes ? Number.POSITIVE_INFINITY : size - begun.length;
    this.#frames.rest(Buffer.from(begun));
  }

  #keep(bytes: Buffer, start: number, end: number, size: number): void {
    const used = this.#begunBytes;
    const room = Math.max(size, used + end - start);
    if (this.#begun.length < room) {
      const before = this.#begun;
      this.#begun = Buffer.allocUnsafeSlow(Math.max(room, 4096));
      before.copy(this.#begun, 0, 0, used);
    }
    bytes.copy(this.#begun, used, start, end);
    this.#begunBytes = used + end - start;
  }
}

function isFrame(size: number): boolean {
  return size >= frameHeaderBytes && size <= frameBytesMax;
}
