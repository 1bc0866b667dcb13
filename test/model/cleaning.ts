import type { Catalogue, Manifest } from './catalogue.ts';
import type { Mutation } from './mutations.ts';
import { brokenByLoss } from './rules.ts';
import type { Emit, Setup } from './steps.ts';
import { type Configuration, nothingToClean, replaced, type World, withAll, without } from './world.ts';

/** The slot a manifest that follows `inForce` announces as floor: `floorAfter` in src/checkpoint/manifest-writer.ts. */
export function floorAfter(
  catalogue: Catalogue,
  { clock, retainManifests }: Configuration,
  inForce: number,
  floor: number,
  now: number,
  mutation: Mutation | undefined,
): number {
  const older = historyWith(catalogue, inForce).map((number) => catalogue.manifest(number));
  const isOldEnough = ({ timeMs }: Manifest): boolean =>
    clock === undefined || mutation === 'deletes without an age' || now - timeMs > 2 * clock.silence;
  const candidates = older.slice(0, Math.max(0, older.length - retainManifests + 2)).filter(isOldEnough);
  return Math.max(floor, candidates.at(-1)?.atSlot ?? 0);
}

export function historyWith(catalogue: Catalogue, inForce: number): readonly number[] {
  return inForce === 0 ? [] : [...catalogue.manifest(inForce).history, inForce];
}

/** Objects that `inForce` lists and the manifest after it does not, and those retired before. */
export function retiredBy(
  catalogue: Catalogue,
  inForce: number,
  live: readonly number[],
  slot: number,
  floor: number,
  mutation: Mutation | undefined,
): readonly (readonly [number, number])[] {
  if (inForce === 0) return [];
  const { extents, retired } = catalogue.manifest(inForce);
  const now = extents.filter((extent) => !live.includes(extent)).map((extent) => [extent, slot] as const);
  // A rewind lists objects again that had been retired.
  const isDead = (extent: number): boolean =>
    mutation === 'objects stay retired that a rewind lists again' || !live.includes(extent);
  return [...retired, ...now].filter(([extent, at]) => at > floor && isDead(extent));
}

/** Objects by number, records as minus their slot: what a driver of `epoch` holds for dead at `floor` (G1 to G5). */
export function deadAt(
  catalogue: Catalogue,
  world: World,
  epoch: number,
  tail: number,
  floor: number,
  mutation: Mutation | undefined,
): readonly number[] {
  const status = catalogue.status(tail);
  const manifest = catalogue.manifest(status.manifest);
  const pinnedObjects = new Set<number>();
  const pinnedSlots = new Set<number>();
  for (const pin of mutation === 'deletes that ignore pins' ? [] : status.pins) {
    const base = pin.manifest === 0 ? undefined : catalogue.manifest(pin.manifest);
    for (const object of base === undefined ? [] : [base.object, ...base.extents]) pinnedObjects.add(object);
    for (const record of catalogue.chain(pin.record, base?.atSlot ?? 0)) {
      pinnedSlots.add(catalogue.record(record).slot);
      for (const segment of catalogue.record(record).segments) pinnedObjects.add(segment);
    }
  }
  const lastSlot = mutation === 'records deleted up to the new manifest instead of the floor' ? manifest.atSlot : floor;
  const slots = world.log.flatMap((record, index) => {
    const slot = index + 1;
    return record !== 0 && slot <= lastSlot && !pinnedSlots.has(slot) ? [-slot] : []; // G1
  });
  const objects = world.objects.filter((number) => {
    const object = catalogue.object(number);
    if (pinnedObjects.has(number)) return false;
    if (object.kind === 'manifest') {
      const isBelow = object.slot < floor; // G2
      return isBelow || (mutation === 'manifest at the floor deleted with those below it' && object.slot === floor);
    }
    if (object.kind === 'segment') {
      if (mutation === 'segments of other epochs deleted at once' && object.epoch !== epoch) return true;
      return object.slot <= floor; // G3
    }
    const retiredAt = manifest.retired.filter(([retired]) => retired === number).map(([, slot]) => slot);
    if (retiredAt.length > 0) {
      return retiredAt.some((slot) => slot <= floor) || mutation === 'retired snapshots deleted at once'; // G4
    }
    if (manifest.extents.includes(number)) return false;
    return object.epoch < epoch || mutation === 'sweep without a look at the epoch'; // G5
  });
  return [...slots, ...objects];
}

/** The floor is raised, then what is dead goes, in any order. */
export function cleaningSteps(setup: Setup, world: World, index: number, emit: Emit): void {
  const driver = world.drivers[index]!;
  const cleaning = world.cleanings[index]!;
  const { singleDeletes } = setup.configuration;
  const early = setup.mutation === 'deletes before the floor is raised';
  if (cleaning.floor > 0 && driver.phase !== 'over') {
    const dead = deadAt(setup.catalogue, world, driver.epoch, driver.tail, cleaning.floor, setup.mutation);
    const floor = early && dead.length > 0 ? world.registers.floor : Math.max(world.registers.floor, cleaning.floor);
    const after: World = {
      ...world,
      registers: { ...world.registers, floor },
      cleanings: replaced(world.cleanings, index, {
        floor: early ? cleaning.floor : 0,
        dead: withAll(cleaning.dead, dead),
      }),
    };
    if (!early || cleaning.dead.length === 0) emit(`driver ${index} raises the floor to ${floor}`, after);
  }
  const groups = singleDeletes ? cleaning.dead.map((item) => [item]) : cleaning.dead.length > 0 ? [cleaning.dead] : [];
  for (const items of groups) {
    const left = without(cleaning.dead, items);
    const after: World = {
      ...world,
      log: world.log.map((record, at) => (items.includes(-at - 1) ? 0 : record)),
      objects: without(world.objects, items),
      cleanings: replaced(
        world.cleanings,
        index,
        left.length === 0 && cleaning.floor === 0 ? nothingToClean : { ...cleaning, dead: left },
      ),
    };
    const what = items
      .map((item) => (item < 0 ? `record ${-item}` : `a ${setup.catalogue.object(item).kind}`))
      .join(', ');
    emit(`driver ${index} deletes ${what}`, after, brokenByLoss(setup.catalogue, after));
  }
}
