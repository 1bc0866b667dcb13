const blockBytes = 64 * 1024;
const freeMax = 16;

/**
 * Memory for the records of a log that has no files; what is trimmed is used again.
 *
 * Shared memory, though nobody shares it: V8 takes plain buffers for a reason to collect, and went through the whole heap
 * for every 20 MB of events stored, which cost as much as storing them. In turn it doesn't notice when shared memory becomes
 * garbage, so blocks are given back.
 */
export class BlockMemory {
  readonly #free: Buffer[] = [];

  take(bytes: number): Buffer {
    const i = this.#free.findIndex((buffer) => buffer.length >= bytes);
    if (i >= 0) return this.#free.splice(i, 1)[0]!;
    return Buffer.from(new SharedArrayBuffer(Math.max(blockBytes, bytes)));
  }

  /** Nothing reads it any more. */
  giveBack(buffer: Buffer): void {
    if (this.#free.length === freeMax) this.#free.shift();
    this.#free.push(buffer);
  }
}
