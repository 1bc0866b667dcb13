import { sourcePrefix } from '../inspect/stored-objects.ts';
import type { ObjectStore } from '../storage/object-store.ts';

type Positions = Readonly<Record<string, unknown>>;

export interface MissingBlocks {
  readonly uid: string;
  readonly missing: number;
  readonly needed: number;
}

/**
 * Inputs that keep what they took in below `source/<uid>/` (receivers) remove it when its batch is committed. Their
 * position is the number of the first object that is not in a batch yet, so going back needs those from there on.
 * @returns the first input of which something is gone; undefined: all is there, or no input is of that kind
 */
export async function missingBlocks(
  store: ObjectStore,
  target: Positions,
  present: Positions,
): Promise<MissingBlocks | undefined> {
  for (const uid of await inputsWithBlocks(store, present)) {
    const from = target[uid] ?? 1;
    const to = present[uid];
    if (typeof from !== 'number' || typeof to !== 'number' || from >= to) continue;
    const slots = new Set<number>();
    for await (const { name } of store.list(`${sourcePrefix}${uid}/log/`)) {
      const slot = Number(/\/(\d{20})$/.exec(name)?.[1]);
      if (slot >= from && slot < to) slots.add(slot);
    }
    const needed = to - from;
    if (slots.size < needed) return { uid, missing: needed - slots.size, needed };
  }
  return undefined;
}

/** Uids of inputs that have anything below `source/`. */
export async function inputsWithBlocks(store: ObjectStore, positions: Positions): Promise<readonly string[]> {
  const uids: string[] = [];
  for (const uid of Object.keys(positions)) {
    for await (const _ of store.list(`${sourcePrefix}${uid}/`)) {
      uids.push(uid);
      break;
    }
  }
  return uids;
}
