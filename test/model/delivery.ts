import { known } from './committing.ts';
import { brokenByEntry, brokenByLoss } from './rules.ts';
import { type Emit, type Setup, setDriver, told } from './steps.ts';
import { lostFence } from './taking-over.ts';
import { type Flight, replaced, type World } from './world.ts';

/** A record reaches its slot, and its sender hears of it or not. */
export function delivery(setup: Setup, world: World, index: number, flight: Flight, emit: Emit): void {
  const record = setup.catalogue.record(flight.record);
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
      violation = brokenByEntry(setup.catalogue, world.truth, flight.record);
      after = { ...after, truth: [...world.truth, flight.record] };
      violation ??= brokenByLoss(setup.catalogue, after);
    }
  }
  const name = `${told(record)} of driver ${flight.owner} ${occupant === 0 ? 'lands' : 'meets an occupied slot'}`;
  emit(`${name}, without an answer`, after, violation);
  const driver = world.drivers[flight.owner]!;
  if (violation !== undefined || driver.record !== flight.record) return;
  const isOurs = occupant === 0 || occupant === flight.record;
  const answered = { ...driver, answeredAt: setup.configuration.clock === undefined ? 0 : world.registers.now };
  const told_: Emit = (step, next, what) => emit(`${name}; ${step}`, next, what);
  if (driver.phase === 'fencing') {
    if (isOurs) setDriver(after, flight.owner, { ...answered, phase: 'fence floor' }, 'it is answered', told_);
    else lostFence(setup, after, flight.owner, driver, told_);
  } else if (driver.phase === 'putting') {
    if (isOurs && setup.mutation !== 'lost taken as not mine') known(setup, after, flight.owner, answered, told_);
    else if (occupant === 0) known(setup, after, flight.owner, answered, told_);
    else setDriver(after, flight.owner, { ...answered, phase: 'read back' }, 'it is answered', told_);
  }
}
