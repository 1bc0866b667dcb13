import { Catalogue, type LogRecord, range } from './catalogue.ts';
import { deadAt, floorAfter, historyWith, retiredBy } from './cleaning.ts';
import type { Model } from './explorer.ts';
import type { Mutation } from './mutations.ts';
import { type Reading, readByListing, readForward } from './reading.ts';
import { brokenByAct, brokenByEntry, brokenByFence, brokenByLoad, brokenByLoss, loadedState } from './rules.ts';
import {
  type Configuration,
  type Driver,
  driverOver,
  type Flight,
  firstWorld,
  fromParts,
  nothingToClean,
  partsOf,
  replaced,
  type World,
  withAll,
  without,
} from './world.ts';

type Emit = (step: string, after: World, violation?: string | undefined) => void;

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
  readonly #catalogue = new Catalogue();
  readonly #configuration: Configuration;
  readonly #mutation: Mutation | undefined;

  constructor(configuration: Configuration, mutation?: Mutation) {
    this.#configuration = configuration;
    this.#mutation = mutation;
    this.initial = firstWorld(configuration);
  }

  partsOf(world: World): readonly object[] {
    return partsOf(world);
  }

  fromParts(parts: readonly object[]): World {
    return fromParts(parts);
  }

  next(world: World, emit: Emit): void {
    const { clock } = this.#configuration;
    for (let index = 0; index < world.drivers.length; index++) {
      this.#driverSteps(world, index, emit);
      this.#cleaningSteps(world, index, emit);
    }
    for (const [index, flight] of world.flights.entries()) this.#delivery(world, index, flight, emit);
    if (clock !== undefined && world.registers.now < clock.end) {
      emit('time passes', { ...world, registers: { ...world.registers, now: world.registers.now + 1 } });
    }
  }

  #driverSteps(world: World, index: number, emit: Emit): void {
    const driver = world.drivers[index]!;
    const { slowReaders } = this.#configuration;
    switch (driver.phase) {
      case 'new': {
        // Lives are alike: the next one to begin is always the first that did not.
        if (index > 0 && world.drivers[index - 1]!.phase === 'new') return;
        if (!slowReaders) {
          this.#read(world, index, readByListing(this.#catalogue, world), emit);
          return;
        }
        this.#aim(world, index, emit);
        return;
      }
      case 'aimed': {
        const base = driver.pending === 0 ? undefined : this.#catalogue.manifest(driver.pending);
        const isThere = base === undefined || world.objects.includes(base.object);
        const reading = isThere && readForward(this.#catalogue, world, base?.at ?? 0, base?.atSlot ?? 0);
        const result =
          reading === false || reading === 'cleaned away' ? readByListing(this.#catalogue, world) : reading;
        this.#read(world, index, result, emit);
        return;
      }
      case 'found':
        this.#sendFence(world, index, driver, emit);
        return;
      case 'fence floor':
        this.#askFloorAsFence(world, index, driver, emit);
        return;
      case 'loading': {
        const violation = brokenByLoad(this.#catalogue, world, driver.tail);
        this.#set(world, index, { ...driver, phase: 'active' }, `driver ${index} loads its state`, emit, violation);
        return;
      }
      case 'active':
        this.#activeSteps(world, index, driver, emit);
        return;
      case 'ready':
        this.#send(world, index, driver, emit);
        return;
      case 'putting':
        this.#whileWaiting(world, index, driver, emit);
        return;
      case 'read back':
        this.#readBack(world, index, driver, emit);
        return;
      case 'ask floor': {
        const { slot } = this.#catalogue.record(driver.record);
        if (world.registers.floor >= slot) {
          this.#halt(world, index, driver, emit);
          return;
        }
        this.#act(world, index, driver, emit);
        return;
      }
      case 'fencing':
      case 'over':
        return;
    }
  }

  // --- reading and taking over -------------------------------------------------------------------------------------

  /** The hint names the manifest of some earlier moment: any that was in force and is not below the floor. */
  #aim(world: World, index: number, emit: Emit): void {
    const { floor, now } = world.registers;
    const bases = new Set([0, ...world.truth.map((record) => this.#catalogue.status(record).manifest)]);
    for (const base of bases) {
      if (floor > (base === 0 ? 0 : this.#catalogue.manifest(base).atSlot)) continue;
      const driver: Driver = { ...world.drivers[index]!, phase: 'aimed', pending: base, arrivedAfter: now };
      this.#set(world, index, driver, `driver ${index} reads a hint of manifest ${base}`, emit);
    }
    this.#read(world, index, readByListing(this.#catalogue, world), emit);
  }

  #read(world: World, index: number, reading: Reading, emit: Emit, before = world.drivers[index]!): void {
    if (reading === 'cleaned away') return;
    const name = `driver ${index} reads the log`;
    if ('damage' in reading) {
      emit(name, world, `P4: a reader is told of damage that nobody did: ${reading.damage}`);
      return;
    }
    const arrivedAfter = before.phase === 'new' ? world.registers.now : before.arrivedAfter;
    const driver: Driver = { ...before, phase: 'found', tail: reading.tail, record: 0, pending: 0, arrivedAfter };
    const { slot } = this.#catalogue.status(reading.tail);
    this.#set(world, index, driver, `${name} up to record ${slot}`, emit);
  }

  #sendFence(world: World, index: number, driver: Driver, emit: Emit): void {
    const { slot, manifest, floor } = this.#catalogue.status(driver.tail);
    this.#launch(world, index, { ...driver, phase: 'fencing' }, emit, {
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

  #askFloorAsFence(world: World, index: number, driver: Driver, emit: Emit): void {
    const { slot } = this.#catalogue.record(driver.record);
    if (world.registers.floor >= slot && this.#mutation !== 'no look at the floor after a fence') {
      this.#read(world, index, readByListing(this.#catalogue, world), emit);
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
      believed: this.#catalogue.status(driver.tail).lastBatch,
    };
    this.#set(world, index, fenced, `driver ${index} has epoch ${slot}`, emit, violation);
  }

  /** The slot of the fence is taken: what stands there is read before the next attempt. */
  #lostFence(world: World, index: number, driver: Driver, emit: Emit): void {
    const { manifest, slot } = this.#catalogue.status(driver.tail);
    if (this.#mutation === 'fence sent to the next slot without reading what was lost to') {
      const occupant = world.log[slot]!;
      const status = this.#catalogue.status(driver.tail);
      const record: LogRecord = {
        ...this.#catalogue.record(driver.record),
        slot: slot + 2,
        epoch: slot + 2,
        previous: occupant,
        manifest: status.manifest,
      };
      this.#launch(world, index, driver, emit, record);
      return;
    }
    const baseSlot = manifest === 0 ? 0 : this.#catalogue.manifest(manifest).atSlot;
    const forward = readForward(this.#catalogue, world, driver.tail, baseSlot);
    const isStuck = forward === 'cleaned away' || ('tail' in forward && forward.tail === driver.tail);
    this.#read(world, index, isStuck ? readByListing(this.#catalogue, world) : forward, emit, driver);
  }

  // --- committing --------------------------------------------------------------------------------------------------

  #activeSteps(world: World, index: number, driver: Driver, emit: Emit): void {
    const { groupMax, pinsMax, rewindsMax } = this.#configuration;
    const status = this.#catalogue.status(driver.tail);
    this.#beginManifest(world, index, driver, emit);
    if (status.slot === this.#configuration.slots) return;
    for (let batches = 1; batches <= groupMax; batches++) {
      const [from, to] = [driver.believed + 1, driver.believed + batches];
      this.#prepare(world, index, driver, emit, { kind: 'batch', from, to });
    }
    if (status.pins.length < pinsMax && status.lastBatch > 0) {
      this.#prepare(world, index, driver, emit, { kind: 'pin' });
    }
    if (status.pins.length > 0) this.#prepare(world, index, driver, emit, { kind: 'unpin' });
    if (status.generation < rewindsMax) this.#rewinds(world, index, driver, emit);
  }

  /** Builds the record; uploads what it refers to. */
  #prepare(world: World, index: number, driver: Driver, emit: Emit, content: Partial<LogRecord>): void {
    const { lateAdoption } = this.#configuration;
    const { slot, manifest, floor } = this.#catalogue.status(driver.tail);
    const pending = driver.pending === 0 ? undefined : this.#catalogue.manifest(driver.pending);
    for (const adopts of pending === undefined
      ? [false]
      : lateAdoption && content.kind !== 'rewind'
        ? [true, false]
        : [true]) {
      const record: LogRecord = {
        kind: 'batch',
        slot: slot + 1,
        epoch: driver.epoch,
        previous: driver.tail,
        attempt: 0,
        from: 0,
        to: 0,
        segments: [],
        manifest: adopts ? driver.pending : manifest,
        floor: adopts ? pending!.floor : floor,
        target: 0,
        ...content,
      };
      if (!this.#configuration.segments || record.kind !== 'batch') {
        this.#launch(world, index, driver, emit, record);
        continue;
      }
      const { epoch } = driver;
      const segment = this.#catalogue.addObject({
        kind: 'segment',
        epoch,
        slot: record.slot,
        batches: range(record.from, record.to),
      });
      const number = this.#catalogue.addRecord({ ...record, segments: [segment] });
      if (this.#mutation === 'record before its segments') {
        this.#launch(world, index, driver, emit, this.#catalogue.record(number));
        continue;
      }
      const after = { ...world, objects: withAll(world.objects, [segment]) };
      this.#set(
        after,
        index,
        { ...driver, phase: 'ready', record: number },
        `driver ${index} uploads the segment of slot ${record.slot}`,
        emit,
      );
    }
  }

  #send(world: World, index: number, driver: Driver, emit: Emit): void {
    this.#launch(world, index, driver, emit, this.#catalogue.record(driver.record));
  }

  #launch(world: World, index: number, driver: Driver, emit: Emit, record: LogRecord): void {
    if (record.slot > this.#configuration.slots) return;
    const number = this.#catalogue.addRecord(record);
    const flight: Flight = { record: number, owner: index, left: this.#configuration.deliveries[index] ?? 1 };
    const flights = [...world.flights, flight].sort((a, b) => a.record - b.record || a.owner - b.owner);
    const phase = record.kind === 'fence' ? 'fencing' : 'putting';
    const violation =
      this.#mutation === 'effects before the commit' && record.kind === 'batch'
        ? brokenByAct(world, number, record.slot)
        : undefined;
    this.#set(
      { ...world, flights },
      index,
      { ...driver, phase, record: number },
      `driver ${index} sends ${told(record)}`,
      emit,
      violation,
    );
  }

  /** A record is on its way. Only a manifest of what is committed already can be begun meanwhile. */
  #whileWaiting(world: World, index: number, driver: Driver, emit: Emit): void {
    const record = this.#catalogue.record(driver.record);
    // A manifest is of the line of batches it was begun on: none is begun while a rewind is on its way.
    const { lateAdoption } = this.#configuration;
    if (lateAdoption && record.kind !== 'rewind') this.#beginManifest(world, index, driver, emit);
    if (
      this.#mutation === 'a second content for a slot after a timeout' &&
      record.kind === 'batch' &&
      record.attempt === 0
    ) {
      this.#launch(world, index, driver, emit, { ...record, attempt: 1 });
    }
  }

  #delivery(world: World, index: number, flight: Flight, emit: Emit): void {
    const record = this.#catalogue.record(flight.record);
    const occupant = world.log[record.slot - 1]!;
    const flights =
      flight.left === 1
        ? world.flights.filter((_, other) => other !== index)
        : replaced(world.flights, index, { ...flight, left: flight.left - 1 });
    let after: World = { ...world, flights };
    let violation: string | undefined;
    if (occupant === 0) {
      after = { ...after, log: replaced(world.log, record.slot - 1, flight.record) };
      // A slot that was filled once is never new again: what is put there then stands below the floor and means nothing.
      if (record.slot > world.truth.length) {
        violation = brokenByEntry(this.#catalogue, world.truth, flight.record);
        after = { ...after, truth: [...world.truth, flight.record] };
        violation ??= brokenByLoss(this.#catalogue, after);
      }
    }
    const name = `${told(record)} of driver ${flight.owner} ${occupant === 0 ? 'lands' : 'meets an occupied slot'}`;
    emit(`${name}, without an answer`, after, violation);
    const driver = world.drivers[flight.owner]!;
    if (violation !== undefined || driver.record !== flight.record) return;
    const isOurs = occupant === 0 || occupant === flight.record;
    const answered = { ...driver, answeredAt: this.#configuration.clock === undefined ? 0 : world.registers.now };
    const told_: Emit = (step, next, what) => emit(`${name}; ${step}`, next, what);
    if (driver.phase === 'fencing') {
      if (isOurs) this.#set(after, flight.owner, { ...answered, phase: 'fence floor' }, 'it is answered', told_);
      else this.#lostFence(after, flight.owner, driver, told_);
    } else if (driver.phase === 'putting') {
      if (isOurs && this.#mutation !== 'lost taken as not mine') this.#known(after, flight.owner, answered, told_);
      else if (occupant === 0) this.#known(after, flight.owner, answered, told_);
      else this.#set(after, flight.owner, { ...answered, phase: 'read back' }, 'it is answered', told_);
    }
  }

  #readBack(world: World, index: number, driver: Driver, emit: Emit): void {
    const { slot, epoch } = this.#catalogue.record(driver.record);
    const occupant = world.log[slot - 1]!;
    const mutation = this.#mutation;
    const goesOn = (): void =>
      this.#set(
        world,
        index,
        { ...driver, phase: 'active', tail: occupant, record: 0 },
        `driver ${index} goes on behind record ${slot}`,
        emit,
      );
    if (occupant === driver.record) {
      if (mutation === 'lost taken as not mine') {
        goesOn();
        return;
      }
      const isOld = mutation === 'silence ended with the refusal' || this.#configuration.clock === undefined;
      const answeredAt = isOld ? driver.answeredAt : world.registers.now;
      this.#known(world, index, { ...driver, answeredAt }, emit);
      return;
    }
    if (occupant === 0) {
      this.#halt(world, index, driver, emit);
      return;
    }
    if (this.#catalogue.record(occupant).epoch !== epoch) {
      if (mutation === 'goes on behind the record of another') {
        goesOn();
        return;
      }
      this.#halt(world, index, driver, emit);
      return;
    }
    if (mutation === 'a second content for a slot after a timeout') {
      this.#known(world, index, driver, emit);
      return;
    }
    emit(`driver ${index} reads record ${slot}`, world, 'P1: two contents of one epoch for one slot');
  }

  /** Our bytes stand there. The floor rule decides whether that can be believed. */
  #known(world: World, index: number, driver: Driver, emit: Emit): void {
    const { clock } = this.#configuration;
    const from =
      this.#mutation === 'silence counted from the last acknowledgement' ? driver.ackedAt : driver.arrivedAfter;
    const isSilent = clock === undefined || driver.answeredAt - from > clock.silence;
    if (!isSilent || this.#mutation === 'no look at the floor after a commit') {
      this.#act(world, index, driver, emit);
      return;
    }
    this.#set(world, index, { ...driver, phase: 'ask floor' }, `driver ${index} looks at the floor`, emit);
  }

  /** The commit is known: effects are released, the manifest is adopted, cleaning becomes due. */
  #act(world: World, index: number, driver: Driver, emit: Emit): void {
    const record = this.#catalogue.record(driver.record);
    const before = this.#catalogue.status(record.previous);
    const adopts = record.manifest !== before.manifest;
    const isPart = this.#mutation === 'only the first batch of a group counted as committed';
    const after: Driver = {
      ...driver,
      phase: 'active',
      tail: driver.record,
      record: 0,
      ackedAt: driver.answeredAt,
      arrivedAfter: driver.ackedAt,
      answeredAt: 0,
      pending: adopts && driver.pending === record.manifest ? 0 : driver.pending,
      believed: isPart && record.kind === 'batch' ? record.from : this.#catalogue.status(driver.record).lastBatch,
    };
    const cleanings = adopts
      ? replaced(world.cleanings, index, { ...world.cleanings[index]!, floor: record.floor })
      : world.cleanings;
    const violation = brokenByAct(world, driver.record, record.slot);
    this.#set(
      { ...world, cleanings },
      index,
      after,
      `driver ${index} goes on after record ${record.slot}`,
      emit,
      violation,
    );
  }

  // --- manifests, rewinds, cleaning --------------------------------------------------------------------------------

  #beginManifest(world: World, index: number, driver: Driver, emit: Emit): void {
    const manifestsMax = this.#configuration.manifestsMax[index] ?? 0;
    const status = this.#catalogue.status(driver.tail);
    const inForce = status.manifest === 0 ? undefined : this.#catalogue.manifest(status.manifest);
    if (
      driver.pending !== 0 ||
      driver.manifests === manifestsMax ||
      status.lastBatch === 0 ||
      inForce?.at === driver.tail
    )
      return;
    const isAhead = this.#mutation === 'manifest of a batch that is not committed';
    const state = isAhead ? [...status.state, status.lastBatch + 1] : status.state;
    const hasDelta = inForce !== undefined && inForce.extents.length === 1;
    const covered = hasDelta ? this.#catalogue.object(inForce.extents[0]!).batches : [];
    // A delta needs what it adds to: after a rewind the state may be another.
    const isDelta = hasDelta && covered.every((batch, at) => state[at] === batch);
    const extents = isDelta ? inForce.extents : [];
    this.#writeManifest(world, index, driver, emit, state.slice(isDelta ? covered.length : 0), extents, 'active');
  }

  #writeManifest(
    world: World,
    index: number,
    driver: Driver,
    emit: Emit,
    batches: readonly number[],
    kept: readonly number[],
    then: 'active' | LogRecord,
  ): void {
    const { epoch, tail } = driver;
    const { slot, manifest: inForce, floor } = this.#catalogue.status(tail);
    const added = batches.length === 0 ? [] : [this.#catalogue.addObject({ kind: 'snapshot', epoch, slot, batches })];
    const object = this.#catalogue.addObject({
      kind: 'manifest',
      epoch,
      slot,
      batches: then === 'active' ? [] : [then.target],
    });
    const extents = [...kept, ...added];
    const manifest = this.#catalogue.addManifest({
      object,
      at: tail,
      atSlot: slot,
      timeMs: driver.ackedAt,
      extents,
      isPoint: then !== 'active',
      history: historyWith(this.#catalogue, inForce).filter((older) => this.#catalogue.manifest(older).atSlot >= floor),
      retired: retiredBy(this.#catalogue, inForce, extents, slot, floor, this.#mutation),
      floor: floorAfter(this.#catalogue, this.#configuration, inForce, floor, driver.ackedAt, this.#mutation),
    });
    const objects = withAll(world.objects, [...added, object]);
    const early = this.#mutation === 'floor raised before the record that announces it';
    const registers = early ? { ...world.registers, floor: Math.max(world.registers.floor, slot) } : world.registers;
    const after: World = { ...world, objects, registers };
    const name = `driver ${index} uploads a manifest up to record ${slot}`;
    if (then === 'active') {
      this.#set(after, index, { ...driver, pending: manifest, manifests: driver.manifests + 1 }, name, emit);
      return;
    }
    const record = this.#catalogue.addRecord({ ...then, manifest });
    this.#set(after, index, { ...driver, phase: 'ready', record }, name, emit);
  }

  /** Back to a record above the announced floor: its state is loaded from what is kept, and becomes a new manifest. */
  #rewinds(world: World, index: number, driver: Driver, emit: Emit): void {
    if (driver.pending !== 0 && this.#mutation !== 'manifest begun before a rewind adopted after it') return;
    const status = this.#catalogue.status(driver.tail);
    const again = this.#mutation === 'rewind uses batch ids again';
    const kept = this.#catalogue.chain(driver.tail, status.floor);
    const described = historyWith(this.#catalogue, status.manifest).map((number) => this.#catalogue.manifest(number));
    const atFloor = described.filter(({ atSlot, isPoint }) => atSlot === status.floor && !isPoint).map(({ at }) => at);
    const targets = new Set([...kept, ...atFloor, ...status.pins.map(({ record }) => record)]);
    for (const target of targets) {
      const goal = this.#catalogue.status(target);
      // Only the present line of batches is gone back on: what a rewind gave up stays given up.
      const isBehind = goal.state.length < status.state.length && goal.state.every((id, at) => status.state[at] === id);
      if (this.#catalogue.record(target).kind !== 'batch' || !isBehind) continue;
      const base = this.#baseOf(driver.tail, target);
      const found = loadedState(this.#catalogue, world, target, base);
      if (found?.join() !== goal.state.join()) {
        // Somebody else has raised the floor: this driver is fenced, and will learn it.
        if (found === undefined && world.registers.floor > status.floor) continue;
        emit(
          `driver ${index} loads record ${goal.slot}`,
          world,
          'P4: what a rewind needs is gone, or is another state',
        );
        continue;
      }
      const reused = base === 0 ? [] : this.#catalogue.manifest(base).extents;
      const covered = reused.flatMap((extent) => this.#catalogue.object(extent).batches);
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
      if (this.#mutation === 'rewind without a manifest of its target')
        this.#launch(world, index, driver, emit, record);
      else this.#writeManifest(world, index, driver, emit, goal.state.slice(covered.length), reused, record);
    }
  }

  /** The newest kept manifest that does not go beyond `target`; 0: the log is whole. */
  #baseOf(tail: number, target: number): number {
    const { manifest, floor, pins } = this.#catalogue.status(tail);
    const { slot } = this.#catalogue.record(target);
    const kept = historyWith(this.#catalogue, manifest).filter((number) => {
      const { atSlot, isPoint } = this.#catalogue.manifest(number);
      return atSlot >= floor && (isPoint ? atSlot < slot : atSlot <= slot);
    });
    return kept.at(-1) ?? pins.find(({ record }) => record === target)?.manifest ?? 0;
  }

  #cleaningSteps(world: World, index: number, emit: Emit): void {
    const driver = world.drivers[index]!;
    const cleaning = world.cleanings[index]!;
    const { singleDeletes } = this.#configuration;
    const early = this.#mutation === 'deletes before the floor is raised';
    if (cleaning.floor > 0 && driver.phase !== 'over') {
      const dead = deadAt(this.#catalogue, world, driver.epoch, driver.tail, cleaning.floor, this.#mutation);
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
    const groups = singleDeletes
      ? cleaning.dead.map((item) => [item])
      : cleaning.dead.length > 0
        ? [cleaning.dead]
        : [];
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
        .map((item) => (item < 0 ? `record ${-item}` : `a ${this.#catalogue.object(item).kind}`))
        .join(', ');
      emit(`driver ${index} deletes ${what}`, after, brokenByLoss(this.#catalogue, after));
    }
  }

  // --- ends --------------------------------------------------------------------------------------------------------

  #halt(world: World, index: number, driver: Driver, emit: Emit): void {
    const violation = brokenByFence(this.#catalogue, world, driver);
    this.#set(world, index, driverOver, `driver ${index} learns that it is fenced`, emit, violation);
  }

  #set(world: World, index: number, driver: Driver, step: string, emit: Emit, violation?: string | undefined): void {
    emit(step, { ...world, drivers: replaced(world.drivers, index, driver) }, violation);
  }
}

function told({ kind, slot, from, to }: LogRecord): string {
  if (kind !== 'batch') return `${kind} ${slot}`;
  return `record ${slot} (batch${from === to ? '' : 'es'} ${from === to ? from : `${from} to ${to}`})`;
}
