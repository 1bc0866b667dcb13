import { type LogRecord, range } from './catalogue.ts';
import { brokenByAct } from './rules.ts';
import { type Emit, halt, launch, type Setup, setDriver } from './steps.ts';
import { type Driver, replaced, type World, withAll } from './world.ts';

// A record is built and sent; later it is known to stand in the log, and the driver acts on it.

/** Builds the record; uploads what it refers to. */
export function prepare(
  setup: Setup,
  world: World,
  index: number,
  driver: Driver,
  emit: Emit,
  content: Partial<LogRecord>,
): void {
  const { lateAdoption } = setup.configuration;
  const { slot, manifest, floor } = setup.catalogue.status(driver.tail);
  const pending = driver.pending === 0 ? undefined : setup.catalogue.manifest(driver.pending);
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
    if (!setup.configuration.segments || record.kind !== 'batch') {
      launch(setup, world, index, driver, emit, record);
      continue;
    }
    const { epoch } = driver;
    const segment = setup.catalogue.addObject({
      kind: 'segment',
      epoch,
      slot: record.slot,
      batches: range(record.from, record.to),
    });
    const number = setup.catalogue.addRecord({ ...record, segments: [segment] });
    if (setup.mutation === 'record before its segments') {
      launch(setup, world, index, driver, emit, setup.catalogue.record(number));
      continue;
    }
    const after = { ...world, objects: withAll(world.objects, [segment]) };
    setDriver(
      after,
      index,
      { ...driver, phase: 'ready', record: number },
      `driver ${index} uploads the segment of slot ${record.slot}`,
      emit,
    );
  }
}

/** The slot was taken: what stands there decides. */
export function readBack(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  const { slot, epoch } = setup.catalogue.record(driver.record);
  const occupant = world.log[slot - 1]!;
  const mutation = setup.mutation;
  const goesOn = (): void =>
    setDriver(
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
    const isOld = mutation === 'silence ended with the refusal' || setup.configuration.clock === undefined;
    const answeredAt = isOld ? driver.answeredAt : world.registers.now;
    known(setup, world, index, { ...driver, answeredAt }, emit);
    return;
  }
  if (occupant === 0) {
    halt(setup, world, index, driver, emit);
    return;
  }
  if (setup.catalogue.record(occupant).epoch !== epoch) {
    if (mutation === 'goes on behind the record of another') {
      goesOn();
      return;
    }
    halt(setup, world, index, driver, emit);
    return;
  }
  if (mutation === 'a second content for a slot after a timeout') {
    known(setup, world, index, driver, emit);
    return;
  }
  emit(`driver ${index} reads record ${slot}`, world, 'P1: two contents of one epoch for one slot');
}

/** Our bytes stand there. The floor rule decides whether that can be believed. */
export function known(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  const { clock } = setup.configuration;
  const from =
    setup.mutation === 'silence counted from the last acknowledgement' ? driver.ackedAt : driver.arrivedAfter;
  const isSilent = clock === undefined || driver.answeredAt - from > clock.silence;
  if (!isSilent || setup.mutation === 'no look at the floor after a commit') {
    act(setup, world, index, driver, emit);
    return;
  }
  setDriver(world, index, { ...driver, phase: 'ask floor' }, `driver ${index} looks at the floor`, emit);
}

/** The commit is known: effects are released, the manifest is adopted, cleaning becomes due. */
export function act(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  const record = setup.catalogue.record(driver.record);
  const before = setup.catalogue.status(record.previous);
  const adopts = record.manifest !== before.manifest;
  const isPart = setup.mutation === 'only the first batch of a group counted as committed';
  const after: Driver = {
    ...driver,
    phase: 'active',
    tail: driver.record,
    record: 0,
    ackedAt: driver.answeredAt,
    arrivedAfter: driver.ackedAt,
    answeredAt: 0,
    pending: adopts && driver.pending === record.manifest ? 0 : driver.pending,
    believed: isPart && record.kind === 'batch' ? record.from : setup.catalogue.status(driver.record).lastBatch,
  };
  const cleanings = adopts
    ? replaced(world.cleanings, index, { ...world.cleanings[index]!, floor: record.floor })
    : world.cleanings;
  const violation = brokenByAct(world, driver.record, record.slot);
  setDriver(
    { ...world, cleanings },
    index,
    after,
    `driver ${index} goes on after record ${record.slot}`,
    emit,
    violation,
  );
}
