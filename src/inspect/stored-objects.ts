import {
  floorName,
  formatName,
  hintName,
  parseContentName,
  parseLogName,
  parseManifestName,
  requestPrefix,
} from '../checkpoint/object-names.ts';
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts';

/** `source`: kept by an input, such as the log of a receiver. `foreign`: no name a checkpoint gives. */
export type ObjectKind =
  | 'format'
  | 'hint'
  | 'floor'
  | 'record'
  | 'segment'
  | 'snapshot'
  | 'manifest'
  | 'request'
  | 'source'
  | 'foreign';

export interface StoredObject extends ObjectInfo {
  readonly kind: ObjectKind;
  /** Of the record, the manifest, or the record a segment or snapshot was written for; else 0. */
  readonly slot: number;
  /** Of the driver that wrote a segment or snapshot; else 0. */
  readonly epoch: number;
}

export const sourcePrefix = 'source/';

/**
 * Everything below the root, by name. Records are listed before what they refer to could be deleted or added, so on a
 * running stream all that the listed records need is listed too, unless the floor rises meanwhile.
 */
export async function listObjects(store: ObjectStore): Promise<ReadonlyMap<string, StoredObject>> {
  const objects = new Map<string, StoredObject>();
  for (const prefix of ['log/', '']) {
    for await (const info of store.list(prefix)) {
      const isLateRecord = prefix === '' && parseLogName(info.name) !== undefined;
      if (!isLateRecord) objects.set(info.name, { ...info, ...classify(info.name) });
    }
  }
  return objects;
}

export function tailSlotOf(objects: ReadonlyMap<string, StoredObject>): number {
  let tail = 0;
  for (const { kind, slot } of objects.values()) if (kind === 'record' && slot > tail) tail = slot;
  return tail;
}

function classify(name: string): Pick<StoredObject, 'kind' | 'slot' | 'epoch'> {
  if (name === formatName) return { kind: 'format', slot: 0, epoch: 0 };
  if (name === hintName) return { kind: 'hint', slot: 0, epoch: 0 };
  if (name === floorName) return { kind: 'floor', slot: 0, epoch: 0 };
  const recordSlot = parseLogName(name);
  if (recordSlot !== undefined) return { kind: 'record', slot: recordSlot, epoch: 0 };
  const manifestSlot = parseManifestName(name);
  if (manifestSlot !== undefined) return { kind: 'manifest', slot: manifestSlot, epoch: 0 };
  const content = parseContentName(name);
  if (content !== undefined) return { kind: name.startsWith('seg/') ? 'segment' : 'snapshot', ...content };
  if (name.startsWith(requestPrefix)) return { kind: 'request', slot: 0, epoch: 0 };
  return { kind: name.startsWith(sourcePrefix) ? 'source' : 'foreign', slot: 0, epoch: 0 };
}
