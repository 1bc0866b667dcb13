import type { Catalogue } from './catalogue.ts';
import type { Driver, World } from './world.ts';

/**
 * What must hold in every world, whoever crashed.
 *
 *   P1. A record that enters the log follows the one before it by hash, carries the newest fence's epoch (so no epoch
 *       commits after a later fence), and the next batch ids: each batch is in the log once.
 *   P2. Whoever acts on a record acts on the first one of its slot, and on exactly what is stored there.
 *   P3. What the log, its kept manifests and its pins refer to is in the store.
 *   P4. Who recovers gets the fold of the committed batches, and nobody is told of damage.
 *   P5. Nobody is fenced without a newer fence.
 *
 * The functions tell what is broken, or undefined.
 */
export function brokenByEntry(catalogue: Catalogue, truth: readonly number[], number: number): string | undefined {
  const record = catalogue.record(number);
  const tail = truth.at(-1) ?? 0;
  const status = catalogue.status(tail);
  if (record.slot !== truth.length + 1) return `P1: record ${record.slot} leaves a hole in the log`;
  if (record.kind !== 'fence' && record.epoch !== status.epoch) {
    return `P1: epoch ${record.epoch} writes record ${record.slot} after the fence of epoch ${status.epoch}`;
  }
  if (record.kind !== 'fence' && record.from > 0 && record.from !== status.lastBatch + 1) {
    return `P1: record ${record.slot} holds batch ${record.from}, and the last one was ${status.lastBatch}`;
  }
  const used = truth.some((number) => catalogue.record(number).to >= record.from);
  if (record.from > 0 && used) return `P1: record ${record.slot} uses batch id ${record.from} again`;
  return record.previous === tail ? undefined : `P1: record ${record.slot} does not follow the record before it`;
}

export function brokenByAct(world: World, number: number, slot: number): string | undefined {
  return world.truth[slot - 1] === number
    ? undefined
    : `P2: a driver releases effects of record ${slot}, which is not the first of its slot`;
}

export function brokenByLoss(catalogue: Catalogue, world: World): string | undefined {
  const { slots, objects } = catalogue.needs(world.truth.at(-1) ?? 0);
  for (const slot of slots) {
    if (world.log[slot - 1] !== world.truth[slot - 1]) return `P3: record ${slot} is needed and gone`;
  }
  const present = new Set(world.objects);
  for (const number of objects) {
    if (present.has(number)) continue;
    const { kind, slot, epoch } = catalogue.object(number);
    return `P3: the ${kind} that epoch ${epoch} wrote for slot ${slot} is needed and gone`;
  }
  return undefined;
}

/** The driver has fenced behind `tail` and loads the state from manifest, snapshots, segments and records. */
export function brokenByLoad(catalogue: Catalogue, world: World, fence: number): string | undefined {
  const tail = catalogue.record(fence).previous;
  const status = catalogue.status(tail);
  const loaded = loadedState(catalogue, world, tail, status.manifest);
  if (loaded === undefined) {
    const base = status.manifest === 0 ? 0 : catalogue.manifest(status.manifest).atSlot;
    return world.registers.floor > base ? undefined : 'P4: a driver is told of damage that nobody did';
  }
  const truth = catalogue.status(world.truth[catalogue.record(fence).slot - 2] ?? 0).state;
  return loaded.join() === truth.join()
    ? undefined
    : `P4: a driver recovers batches [${loaded.join()}] where [${truth.join()}] were committed`;
}

/** The state after `tail`, from a manifest and the records after it. Undefined: something is gone. */
export function loadedState(catalogue: Catalogue, world: World, tail: number, manifest: number): number[] | undefined {
  const base = manifest === 0 ? undefined : catalogue.manifest(manifest);
  const present = new Set(world.objects);
  const state: number[] = [];
  for (const extent of base?.extents ?? []) {
    if (!present.has(extent)) return undefined;
    state.push(...catalogue.object(extent).batches);
  }
  for (const number of catalogue.chain(tail, base?.atSlot ?? 0).reverse()) {
    const record = catalogue.record(number);
    if (record.kind !== 'batch') continue;
    if (record.segments.some((segment) => !present.has(segment))) return undefined;
    for (let batch = record.from; batch <= record.to; batch++) state.push(batch);
  }
  return state;
}

export function brokenByFence(catalogue: Catalogue, world: World, driver: Driver): string | undefined {
  const { epoch } = catalogue.status(world.truth.at(-1) ?? 0);
  return epoch > driver.epoch ? undefined : `P5: epoch ${driver.epoch} is fenced, and there is no newer fence`;
}
