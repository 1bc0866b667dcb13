import type { Catalogue } from './catalogue.ts';
import type { World } from './world.ts';

/** Where a reader got to: the last record, or what it has to do instead. */
export type Reading = { readonly tail: number } | 'cleaned away' | { readonly damage: string };

/**
 * Reads record after record from behind `base` (a record; 0: the beginning) until a slot is empty, as
 * `readForward` in src/checkpoint/read-checkpoint.ts.
 *
 * @param baseSlot where the whole read began: if the floor has passed it, what looks like damage is none.
 */
export function readForward(catalogue: Catalogue, world: World, base: number, baseSlot: number): Reading {
  const isCleanedAway = world.registers.floor > baseSlot;
  let tail = base;
  for (let slot = catalogue.status(base).slot + 1; (world.log[slot - 1] ?? 0) !== 0; slot++) {
    const number = world.log[slot - 1]!;
    if (catalogue.record(number).previous !== tail) {
      return isCleanedAway ? 'cleaned away' : { damage: `record ${slot} does not follow the record before it` };
    }
    tail = number;
  }
  const { manifest } = catalogue.status(tail);
  if (manifest !== 0 && !world.objects.includes(catalogue.manifest(manifest).object)) {
    return isCleanedAway ? 'cleaned away' : { damage: `the manifest that record ${tail} needs is missing` };
  }
  return { tail };
}

/** From the listing alone, at one moment. */
export function readByListing(catalogue: Catalogue, world: World): Reading {
  const { floor } = world.registers;
  let tailSlot = floor;
  while ((world.log[tailSlot] ?? 0) !== 0) tailSlot += 1;
  if (world.log.slice(tailSlot).some((record) => record !== 0)) return { damage: `record ${tailSlot + 1} is missing` };
  if (tailSlot === floor) return floor === 0 ? { tail: 0 } : { damage: `record ${floor + 1} is missing` };
  const { manifest } = catalogue.status(world.log[tailSlot - 1]!);
  if (manifest === 0) return readForward(catalogue, world, 0, 0);
  const { at, atSlot, object } = catalogue.manifest(manifest);
  if (!world.objects.includes(object)) return { damage: `the manifest that record ${tailSlot} needs is missing` };
  return readForward(catalogue, world, at, atSlot);
}
