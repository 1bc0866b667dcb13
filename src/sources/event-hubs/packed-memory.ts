/** Memory of a run of events: their bytes one after the other, and a column of each number. */
export interface PackedMemory {
  readonly bytes: Buffer;
  readonly ends: Uint32Array;
  readonly times: Float64Array;
  readonly offsets: Float64Array;
  readonly forms: Uint8Array;
}

export const packedEventsMax = 512;
export const packedBytesMax = 128 * 1024;

/** About 140 KB each. */
const freeMax = 64;
const free: PackedMemory[] = [];

/** Room for at least so many events and bytes; of full size it may be memory that was used before. */
export function takePackedMemory(events: number, bytes: number): PackedMemory {
  const isFull = events === packedEventsMax && bytes === packedBytesMax;
  return (isFull ? free.pop() : undefined) ?? newMemory(events, bytes);
}

/**
 * Nothing reads it any more. It is used again, because V8 takes every few megabytes of fresh buffers for a reason to collect the
 * whole heap, which costs more than all that is done with an event.
 */
export function giveBackPackedMemory(memory: PackedMemory): void {
  const isFull = memory.ends.length === packedEventsMax && memory.bytes.length === packedBytesMax;
  if (isFull && free.length < freeMax) free.push(memory);
}

function newMemory(events: number, bytes: number): PackedMemory {
  return {
    bytes: Buffer.allocUnsafeSlow(bytes),
    ends: new Uint32Array(events),
    times: new Float64Array(events),
    offsets: new Float64Array(events),
    forms: new Uint8Array(events),
  };
}
