/**
 * Names of all objects of a checkpoint, relative to its root. Numbers are decimal with a fixed width, so that the
 * store's order of names is the order of numbers; everything is lower case, because some stores fold the case.
 */
const slotDigits = 20;

export const formatName = 'format';
export const hintName = 'hint';
export const floorName = 'gc/floor';
export const logPrefix = 'log/';
export const segmentPrefix = 'seg/';
export const snapshotPrefix = 'snap/';
export const manifestPrefix = 'man/';
export const requestPrefix = 'req/';

export function logName(slot: number): string {
  return logPrefix + slotText(slot);
}

/** A segment is named after the slot it is written for: once that slot is decided, nobody else can refer to it. */
export function segmentName(epoch: number, slot: number, index: number, id: string): string {
  return `${segmentPrefix}${slotText(epoch)}-${slotText(slot)}-${indexText(index)}-${id}`;
}

/** `slot` is the one whose state the snapshot holds. */
export function snapshotName(epoch: number, slot: number, index: number, id: string): string {
  return `${snapshotPrefix}${slotText(epoch)}-${slotText(slot)}-${indexText(index)}-${id}`;
}

export function manifestName(slot: number, id: string): string {
  return `${manifestPrefix}${slotText(slot)}-${id}`;
}

/** `id`: 32 hexadecimal digits. */
export function requestName(id: string): string {
  return requestPrefix + id;
}

/** Undefined: not a name of ours (another tool left something there). */
export function parseLogName(name: string): number | undefined {
  const match = /^log\/(\d{20})$/.exec(name);
  return match ? Number(match[1]) : undefined;
}

/** Of a segment or a snapshot. */
export function parseContentName(name: string): { readonly epoch: number; readonly slot: number } | undefined {
  const match = /^(?:seg|snap)\/(\d{20})-(\d{20})-\d{5}-[0-9a-f]{32}$/.exec(name);
  return match ? { epoch: Number(match[1]), slot: Number(match[2]) } : undefined;
}

export function parseManifestName(name: string): number | undefined {
  const match = /^man\/(\d{20})-[0-9a-f]{32}$/.exec(name);
  return match ? Number(match[1]) : undefined;
}

function slotText(slot: number): string {
  return String(slot).padStart(slotDigits, '0');
}

function indexText(index: number): string {
  return String(index).padStart(5, '0');
}
