const slabBytes = 8 * 1024;
let slab: Buffer = Buffer.alloc(0);
let used = 0;

/**
 * A copy of the bytes from `start` to `end`, for what a program may keep. Small ones share a slab of 8 KB, so that one
 * event kept of thousands holds on to no more than that; Node's own pool is as large as a chunk of the socket.
 */
export function copyBytes(bytes: Buffer, start: number, end: number): Buffer {
  const length = end - start;
  if (length > slabBytes / 4) {
    const copy = Buffer.allocUnsafeSlow(length);
    bytes.copy(copy, 0, start, end);
    return copy;
  }
  if (used + length > slab.length) {
    slab = Buffer.allocUnsafeSlow(slabBytes);
    used = 0;
  }
  const from = used;
  used += length;
  bytes.copy(slab, from, start, end);
  return slab.subarray(from, used);
}

/** Copies of bodies that stand one behind the other, in slabs as above; each slab is filled by one copy. */
export class RunCopies {
  readonly #bytes: Buffer;
  readonly #ends: Uint32Array;
  readonly #last: number;
  #slab: Buffer = Buffer.alloc(0);
  #from = 0;
  #to = -1;

  /** Body `i` ends at `ends[i]`; those up to `last`, exclusive, may be asked for, in order. */
  constructor(bytes: Buffer, ends: Uint32Array, last: number) {
    this.#bytes = bytes;
    this.#ends = ends;
    this.#last = last;
  }

  /** Body `i`, which begins at `start`. */
  take(i: number, start: number): Buffer {
    const end = this.#ends[i]!;
    if (end > this.#to) this.#copy(i, start);
    return this.#slab.subarray(start - this.#from, end - this.#from);
  }

  #copy(i: number, start: number): void {
    let next = i + 1;
    while (next < this.#last && this.#ends[next]! - start <= slabBytes) next++;
    const to = this.#ends[next - 1]!;
    this.#slab = Buffer.allocUnsafeSlow(to - start);
    this.#bytes.copy(this.#slab, 0, start, to);
    this.#from = start;
    this.#to = to;
  }
}
