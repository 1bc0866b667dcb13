import type { LogRecord } from './catalogue.ts';
import { type Reading, readByListing, readForward } from './reading.ts';
import { brokenByAct } from './rules.ts';
import { type Emit, launch, type Setup, setDriver } from './steps.ts';
import type { Driver, World } from './world.ts';

// How a driver begins: it reads the log up to its end, fences, and asks the floor.

/** The hint names the manifest of some earlier moment: any that was in force and is not below the floor. */
export function aim(setup: Setup, world: World, index: number, emit: Emit): void {
  const { floor, now } = world.registers;
  const bases = new Set([0, ...world.truth.map((record) => setup.catalogue.status(record).manifest)]);
  for (const base of bases) {
    if (floor > (base === 0 ? 0 : setup.catalogue.manifest(base).atSlot)) continue;
    const driver: Driver = { ...world.drivers[index]!, phase: 'aimed', pending: base, arrivedAfter: now };
    setDriver(world, index, driver, `driver ${index} reads a hint of manifest ${base}`, emit);
  }
  read(setup, world, index, readByListing(setup.catalogue, world), emit);
}

export function read(
  setup: Setup,
  world: World,
  index: number,
  reading: Reading,
  emit: Emit,
  before = world.drivers[index]!,
): void {
  if (reading === 'cleaned away') return;
  const name = `driver ${index} reads the log`;
  if ('damage' in reading) {
    emit(name, world, `P4: a reader is told of damage that nobody did: ${reading.damage}`);
    return;
  }
  const arrivedAfter = before.phase === 'new' ? world.registers.now : before.arrivedAfter;
  const driver: Driver = { ...before, phase: 'found', tail: reading.tail, record: 0, pending: 0, arrivedAfter };
  const { slot } = setup.catalogue.status(reading.tail);
  setDriver(world, index, driver, `${name} up to record ${slot}`, emit);
}

/** Behind the record it has found to be the last one. */
export function sendFence(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  const { slot, manifest, floor } = setup.catalogue.status(driver.tail);
  launch(setup, world, index, { ...driver, phase: 'fencing' }, emit, {
    kind: 'fence',
    slot: slot + 1,
    epoch: slot + 1,
    previous: driver.tail,
    attempt: index,
    from: 0,
    to: 0,
    segments: [],
    manifest,
    floor,
    target: 0,
  });
}

/** A fence may have landed in an emptied slot, so it always looks. */
export function askFloorAsFence(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  const { slot } = setup.catalogue.record(driver.record);
  if (world.registers.floor >= slot && setup.mutation !== 'no look at the floor after a fence') {
    read(setup, world, index, readByListing(setup.catalogue, world), emit);
    return;
  }
  const violation = brokenByAct(world, driver.record, slot);
  const fenced: Driver = {
    ...driver,
    phase: 'loading',
    epoch: slot,
    tail: driver.record,
    record: 0,
    ackedAt: driver.answeredAt,
    answeredAt: 0,
    believed: setup.catalogue.status(driver.tail).lastBatch,
  };
  setDriver(world, index, fenced, `driver ${index} has epoch ${slot}`, emit, violation);
}

/** The slot of the fence is taken: what stands there is read before the next attempt. */
export function lostFence(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  const { manifest, slot } = setup.catalogue.status(driver.tail);
  if (setup.mutation === 'fence sent to the next slot without reading what was lost to') {
    const occupant = world.log[slot]!;
    const status = setup.catalogue.status(driver.tail);
    const record: LogRecord = {
      ...setup.catalogue.record(driver.record),
      slot: slot + 2,
      epoch: slot + 2,
      previous: occupant,
      manifest: status.manifest,
    };
    launch(setup, world, index, driver, emit, record);
    return;
  }
  const baseSlot = manifest === 0 ? 0 : setup.catalogue.manifest(manifest).atSlot;
  const forward = readForward(setup.catalogue, world, driver.tail, baseSlot);
  const isStuck = forward === 'cleaned away' || ('tail' in forward && forward.tail === driver.tail);
  read(setup, world, index, isStuck ? readByListing(setup.catalogue, world) : forward, emit, driver);
}
