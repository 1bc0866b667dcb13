import { Catalogue } from './catalogue.ts';
import { cleaningSteps } from './cleaning.ts';
import { act, prepare, readBack } from './committing.ts';
import { delivery } from './delivery.ts';
import type { Model } from './explorer.ts';
import { beginManifest, rewinds } from './manifests.ts';
import type { Mutation } from './mutations.ts';
import { readByListing, readForward } from './reading.ts';
import { brokenByLoad } from './rules.ts';
import { type Emit, halt, launch, type Setup, setDriver } from './steps.ts';
import { aim, askFloorAsFence, read, sendFence } from './taking-over.ts';
import { type Configuration, type Driver, firstWorld, fromParts, partsOf, type World } from './world.ts';

/**
 * The protocol of src/checkpoint as steps between worlds: docs/checkpoint-protocol.md, without bytes.
 *
 * Every request to the store is a step of its own, and so is its answer where others can act in between: a write is
 * sent, delivered once or twice at any later moment, and answered or not. A driver that stops between two steps is a
 * driver that crashed, froze or was cut off: no step has to happen, so all of these are among the worlds.
 *
 * In: a configuration, perhaps a mutation. Owns the steps; what must hold about them is in rules.ts.
 */
export class Protocol implements Model<World> {
  readonly initial: World;
  readonly #setup: Setup;

  constructor(configuration: Configuration, mutation?: Mutation) {
    this.#setup = { catalogue: new Catalogue(), configuration, mutation };
    this.initial = firstWorld(configuration);
  }

  partsOf(world: World): readonly object[] {
    return partsOf(world);
  }

  fromParts(parts: readonly object[]): World {
    return fromParts(parts);
  }

  next(world: World, emit: Emit): void {
    const { clock } = this.#setup.configuration;
    for (let index = 0; index < world.drivers.length; index++) {
      driverSteps(this.#setup, world, index, emit);
      cleaningSteps(this.#setup, world, index, emit);
    }
    for (const [index, flight] of world.flights.entries()) delivery(this.#setup, world, index, flight, emit);
    if (clock !== undefined && world.registers.now < clock.end) {
      emit('time passes', { ...world, registers: { ...world.registers, now: world.registers.now + 1 } });
    }
  }
}

function driverSteps(setup: Setup, world: World, index: number, emit: Emit): void {
  const driver = world.drivers[index]!;
  const { slowReaders } = setup.configuration;
  switch (driver.phase) {
    case 'new': {
      // Lives are alike: the next one to begin is always the first that did not.
      if (index > 0 && world.drivers[index - 1]!.phase === 'new') return;
      if (!slowReaders) {
        read(setup, world, index, readByListing(setup.catalogue, world), emit);
        return;
      }
      aim(setup, world, index, emit);
      return;
    }
    case 'aimed': {
      const base = driver.pending === 0 ? undefined : setup.catalogue.manifest(driver.pending);
      const isThere = base === undefined || world.objects.includes(base.object);
      const reading = isThere && readForward(setup.catalogue, world, base?.at ?? 0, base?.atSlot ?? 0);
      const result = reading === false || reading === 'cleaned away' ? readByListing(setup.catalogue, world) : reading;
      read(setup, world, index, result, emit);
      return;
    }
    case 'found':
      sendFence(setup, world, index, driver, emit);
      return;
    case 'fence floor':
      askFloorAsFence(setup, world, index, driver, emit);
      return;
    case 'loading': {
      const violation = brokenByLoad(setup.catalogue, world, driver.tail);
      setDriver(world, index, { ...driver, phase: 'active' }, `driver ${index} loads its state`, emit, violation);
      return;
    }
    case 'active':
      activeSteps(setup, world, index, driver, emit);
      return;
    case 'ready':
      send(setup, world, index, driver, emit);
      return;
    case 'putting':
      whileWaiting(setup, world, index, driver, emit);
      return;
    case 'read back':
      readBack(setup, world, index, driver, emit);
      return;
    case 'ask floor': {
      const { slot } = setup.catalogue.record(driver.record);
      if (world.registers.floor >= slot) {
        halt(setup, world, index, driver, emit);
        return;
      }
      act(setup, world, index, driver, emit);
      return;
    }
    case 'fencing':
    case 'over':
      return;
  }
}

function activeSteps(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  const { groupMax, pinsMax, rewindsMax } = setup.configuration;
  const status = setup.catalogue.status(driver.tail);
  beginManifest(setup, world, index, driver, emit);
  if (status.slot === setup.configuration.slots) return;
  for (let batches = 1; batches <= groupMax; batches++) {
    const [from, to] = [driver.believed + 1, driver.believed + batches];
    prepare(setup, world, index, driver, emit, { kind: 'batch', from, to });
  }
  if (status.pins.length < pinsMax && status.lastBatch > 0) {
    prepare(setup, world, index, driver, emit, { kind: 'pin' });
  }
  if (status.pins.length > 0) prepare(setup, world, index, driver, emit, { kind: 'unpin' });
  if (status.generation < rewindsMax) rewinds(setup, world, index, driver, emit);
}

function send(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  launch(setup, world, index, driver, emit, setup.catalogue.record(driver.record));
}

/** A record is on its way. Only a manifest of what is committed already can be begun meanwhile. */
function whileWaiting(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  const record = setup.catalogue.record(driver.record);
  // A manifest is of the line of batches it was begun on: none is begun while a rewind is on its way.
  const { lateAdoption } = setup.configuration;
  if (lateAdoption && record.kind !== 'rewind') beginManifest(setup, world, index, driver, emit);
  if (
    setup.mutation === 'a second content for a slot after a timeout' &&
    record.kind === 'batch' &&
    record.attempt === 0
  ) {
    launch(setup, world, index, driver, emit, { ...record, attempt: 1 });
  }
}
