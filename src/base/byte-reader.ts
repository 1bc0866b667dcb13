import { hashBytes } from './checksum.ts';
import { TidemarkError } from './errors.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads what a ByteWriter wrote, in the same order. Every read is bounds-checked: damaged or cut bytes end in
 * CHECKPOINT_CORRUPT, never in a wrong value from beyond the end or in an allocation the bytes cannot back.
 */
export class ByteReader {
  readonly #buffer: Buffer;
  readonly #data: DataView;
  #offset = 0;

  /** The bytes are not copied and must not change while they are read. */
  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#buffer.length - this.#offset;
  }

  /** Hash of what was read since `start` (a former `offset`): equals the writer's. */
  hashSince(start: number): number {
    return hashBytes(this.#buffer, start, this.#offset);
  }

  u8(): number {
    return this.#buffer[this.#take(1)]!;
  }

  u32le(): number {
    return this.#data.getUint32(this.#take(4), true);
  }

  f64(): number {
    return this.#data.getFloat64(this.#take(8), true);
  }

  varint(): number {
    let value = 0;
    let unit = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) {
        // A longer spelling of the same number would break "equal bytes means equal value".
        if (byte === 0 && i > 0) break;
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      unit *= 0x80;
    }
    throw this.corrupt('a variable-length number is malformed');
  }

  /** `length` bytes as a view of the input. */
  raw(length: number): Uint8Array {
    const start = this.#take(length);
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset + start, length);
  }

  /** Length-prefixed bytes as a view of the input. */
  bytes(): Uint8Array {
    return this.raw(this.varint());
  }

  string(): string {
    const size = this.varint();
    const start = this.#take(size);
    const end = start + size;
    if (size <= 32) {
      let text = '';
      let at = start;
      for (; at < end; at++) {
        const byte = this.#buffer[at]!;
        if (byte >= 0x80) break;
        text += String.fromCharCode(byte);
      }
      if (at === end) return text;
    }
    try {
      return utf8.decode(this.#buffer.subarray(start, end));
    } catch (cause) {
      throw this.corrupt('a text is not valid UTF-8', cause);
    }
  }

  /** Asserts that everything was read. */
  end(): void {
    if (this.remaining !== 0) throw this.corrupt(`${this.remaining} bytes are left over`);
  }

  /** The error for damage that only the caller can see. */
  corrupt(what: string, cause?: unknown): TidemarkError {
    return new TidemarkError(
      'CHECKPOINT_CORRUPT',
      `The stored bytes are damaged: ${what} (near offset ${this.#offset}).`,
      {
        cause,
        context: { offset: this.#offset },
      },
    );
  }

  #take(length: number): number {
    const start = this.#offset;
    if (length > this.#buffer.length - start) {
      throw this.corrupt(`${length} bytes expected, ${this.#buffer.length - start} left`);
    }
    this.#offset = start + length;
    return start;
  }
}
