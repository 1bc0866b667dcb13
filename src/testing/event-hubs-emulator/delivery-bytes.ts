const firstBytes = 64 * 1024;
const noBytes = Buffer.alloc(0);

/** Memory of the last delivery of a connection: fresh memory for each would cost more than filling it. */
export interface SpareBytes {
  buffer: Buffer;
}

/**
 * The bytes of the delivery that is coming in on one link, up to a limit; what exceeds it is counted and dropped.
 */
export class DeliveryBytes {
  readonly #spare: SpareBytes;
  readonly #bytesMax: number;
  #buffer: Buffer = noBytes;
  #size = 0;

  constructor(spare: SpareBytes, bytesMax: number) {
    this.#spare = spare;
    this.#bytesMax = bytesMax;
  }

  /** All that arrived, dropped bytes included. */
  get size(): number {
    return this.#size;
  }

  append(source: Buffer, start: number, end: number): void {
    const from = this.#size;
    this.#size += end - start;
    if (this.#size > this.#bytesMax) return;
    if (this.#size > this.#buffer.length) this.#grow(from);
    source.copy(this.#buffer, from, start, end);
  }

  /** What has arrived, until `clear` is called; the memory is used again then. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#size);
  }

  /** The delivery is over. */
  clear(): void {
    if (this.#buffer.length > this.#spare.buffer.length) this.#spare.buffer = this.#buffer;
    this.#buffer = noBytes;
    this.#size = 0;
  }

  #grow(used: number): void {
    const before = this.#buffer;
    if (before.length === 0 && this.#spare.buffer.length >= this.#size) {
      this.#buffer = this.#spare.buffer;
      this.#spare.buffer = noBytes;
      return;
    }
    let room = Math.max(firstBytes, before.length);
    while (room < this.#size) room *= 2;
    this.#buffer = Buffer.allocUnsafeSlow(room);
    before.copy(this.#buffer, 0, 0, used);
  }
}
