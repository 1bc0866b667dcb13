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

/** About 140 KB each. All of it, free or not, is no more than was lately in use at once. */
const free: PackedMemory[] = [];
let inUse = 0;
let lateMost = 0;
/** How soon what was once in use no longer counts, in runs that are given back. */
const lately = 256;

/** Room for at least so many events and bytes; of full size it may be memory that was used before. */
export function takePackedMemory(events: number, bytes: number): PackedMemory {
  if (!isFull(events, bytes)) return newMemory(events, bytes);
  inUse++;
  lateMost = Math.max(lateMost, inUse);
  return free.pop() ?? newMemory(events, bytes);
}

/**
 * Nothing reads it any more. It is used again, because V8 takes every few megabytes of fresh buffers for a reason to collect the
 * whole heap, which costs more than all that is done with an event.
 */
export function giveBackPackedMemory(memory: PackedMemory): void {
  if (!isFull(memory.ends.length, memory.bytes.length)) return;
  inUse--;
  free.push(memory);
  lateMost -= (lateMost - inUse) / lately;
  while (inUse + free.length > lateMost + 1) free.pop();
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

function isFull(events: number, bytes: number): boolean {
  return events === packedEventsMax && bytes === packedBytesMax;
}
