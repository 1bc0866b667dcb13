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
