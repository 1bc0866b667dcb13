import type { LogRecord } from './catalogue.ts';
import { floorAfter, historyWith, retiredBy } from './cleaning.ts';
import { loadedState } from './rules.ts';
import { type Emit, launch, type Setup, setDriver } from './steps.ts';
import { type Driver, type World, withAll } from './world.ts';

// What stands for the log up to a slot: written now and then, and to go back.

/** Of the state at the tail; the record that adopts it comes later. */
export function beginManifest(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  const manifestsMax = setup.configuration.manifestsMax[index] ?? 0;
  const status = setup.catalogue.status(driver.tail);
  const inForce = status.manifest === 0 ? undefined : setup.catalogue.manifest(status.manifest);
  if (
    driver.pending !== 0 ||
    driver.manifests === manifestsMax ||
    status.lastBatch === 0 ||
    inForce?.at === driver.tail
  )
    return;
  const isAhead = setup.mutation === 'manifest of a batch that is not committed';
  const state = isAhead ? [...status.state, status.lastBatch + 1] : status.state;
  const hasDelta = inForce !== undefined && inForce.extents.length === 1;
  const covered = hasDelta ? setup.catalogue.object(inForce.extents[0]!).batches : [];
  // A delta needs what it adds to: after a rewind the state may be another.
  const isDelta = hasDelta && covered.every((batch, at) => state[at] === batch);
  const extents = isDelta ? inForce.extents : [];
  writeManifest(setup, world, index, driver, emit, state.slice(isDelta ? covered.length : 0), extents, 'active');
}

function writeManifest(
  setup: Setup,
  world: World,
  index: number,
  driver: Driver,
  emit: Emit,
  batches: readonly number[],
  kept: readonly number[],
  then: 'active' | LogRecord,
): void {
  const { epoch, tail } = driver;
  const { slot, manifest: inForce, floor } = setup.catalogue.status(tail);
  const added = batches.length === 0 ? [] : [setup.catalogue.addObject({ kind: 'snapshot', epoch, slot, batches })];
  const object = setup.catalogue.addObject({
    kind: 'manifest',
    epoch,
    slot,
    batches: then === 'active' ? [] : [then.target],
  });
  const extents = [...kept, ...added];
  const manifest = setup.catalogue.addManifest({
    object,
    at: tail,
    atSlot: slot,
    timeMs: driver.ackedAt,
    extents,
    isPoint: then !== 'active',
    history: historyWith(setup.catalogue, inForce).filter((older) => setup.catalogue.manifest(older).atSlot >= floor),
    retired: retiredBy(setup.catalogue, inForce, extents, slot, floor, setup.mutation),
    floor: floorAfter(setup.catalogue, setup.configuration, inForce, floor, driver.ackedAt, setup.mutation),
  });
  const objects = withAll(world.objects, [...added, object]);
  const early = setup.mutation === 'floor raised before the record that announces it';
  const registers = early ? { ...world.registers, floor: Math.max(world.registers.floor, slot) } : world.registers;
  const after: World = { ...world, objects, registers };
  const name = `driver ${index} uploads a manifest up to record ${slot}`;
  if (then === 'active') {
    setDriver(after, index, { ...driver, pending: manifest, manifests: driver.manifests + 1 }, name, emit);
    return;
  }
  const record = setup.catalogue.addRecord({ ...then, manifest });
  setDriver(after, index, { ...driver, phase: 'ready', record }, name, emit);
}

/** Back to a record above the announced floor: its state is loaded from what is kept, and becomes a new manifest. */
export function rewinds(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  if (driver.pending !== 0 && setup.mutation !== 'manifest begun before a rewind adopted after it') return;
  const status = setup.catalogue.status(driver.tail);
  const again = setup.mutation === 'rewind uses batch ids again';
  const kept = setup.catalogue.chain(driver.tail, status.floor);
  const described = historyWith(setup.catalogue, status.manifest).map((number) => setup.catalogue.manifest(number));
  const atFloor = described.filter(({ atSlot, isPoint }) => atSlot === status.floor && !isPoint).map(({ at }) => at);
  const targets = new Set([...kept, ...atFloor, ...status.pins.map(({ record }) => record)]);
  for (const target of targets) {
    const goal = setup.catalogue.status(target);
    // Only the present line of batches is gone back on: what a rewind gave up stays given up.
    const isBehind = goal.state.length < status.state.length && goal.state.every((id, at) => status.state[at] === id);
    if (setup.catalogue.record(target).kind !== 'batch' || !isBehind) continue;
    const base = baseOf(setup, driver.tail, target);
    const found = loadedState(setup.catalogue, world, target, base);
    if (found?.join() !== goal.state.join()) {
      // Somebody else has raised the floor: this driver is fenced, and will learn it.
      if (found === undefined && world.registers.floor > status.floor) continue;
      emit(`driver ${index} loads record ${goal.slot}`, world, 'P4: what a rewind needs is gone, or is another state');
      continue;
    }
    const reused = base === 0 ? [] : setup.catalogue.manifest(base).extents;
    const covered = reused.flatMap((extent) => setup.catalogue.object(extent).batches);
    const id = again ? goal.lastBatch : driver.believed + 1;
    const record: LogRecord = {
      kind: 'rewind',
      slot: status.slot + 1,
      epoch: driver.epoch,
      previous: driver.tail,
      attempt: 0,
      from: again ? 0 : id,
      to: id,
      segments: [],
      manifest: status.manifest,
      floor: status.floor,
      target,
    };
    if (setup.mutation === 'rewind without a manifest of its target') launch(setup, world, index, driver, emit, record);
    else writeManifest(setup, world, index, driver, emit, goal.state.slice(covered.length), reused, record);
  }
}

/** The newest kept manifest that does not go beyond `target`; 0: the log is whole. */
function baseOf(setup: Setup, tail: number, target: number): number {
  const { manifest, floor, pins } = setup.catalogue.status(tail);
  const { slot } = setup.catalogue.record(target);
  const kept = historyWith(setup.catalogue, manifest).filter((number) => {
    const { atSlot, isPoint } = setup.catalogue.manifest(number);
    return atSlot >= floor && (isPoint ? atSlot < slot : atSlot <= slot);
  });
  return kept.at(-1) ?? pins.find(({ record }) => record === target)?.manifest ?? 0;
}
