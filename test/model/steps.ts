import type { Catalogue, LogRecord } from './catalogue.ts';
import type { Mutation } from './mutations.ts';
import { brokenByAct, brokenByFence } from './rules.ts';
import { type Configuration, type Driver, driverOver, type Flight, replaced, type World } from './world.ts';

export type Emit = (step: string, after: World, violation?: string | undefined) => void;

/** What every step of the protocol goes by. */
export interface Setup {
  readonly catalogue: Catalogue;
  readonly configuration: Configuration;
  /** The rule that is left out. */
  readonly mutation: Mutation | undefined;
}

/** A step after which nothing but the driver is another. `world` may be changed already. */
export function setDriver(
  world: World,
  index: number,
  driver: Driver,
  step: string,
  emit: Emit,
  violation?: string | undefined,
): void {
  emit(step, { ...world, drivers: replaced(world.drivers, index, driver) }, violation);
}

/** The record is on its way to its slot. */
export function launch(setup: Setup, world: World, index: number, driver: Driver, emit: Emit, record: LogRecord): void {
  if (record.slot > setup.configuration.slots) return;
  const number = setup.catalogue.addRecord(record);
  const flight: Flight = { record: number, owner: index, left: setup.configuration.deliveries[index] ?? 1 };
  const flights = [...world.flights, flight].sort((a, b) => a.record - b.record || a.owner - b.owner);
  const phase = record.kind === 'fence' ? 'fencing' : 'putting';
  const violation =
    setup.mutation === 'effects before the commit' && record.kind === 'batch'
      ? brokenByAct(world, number, record.slot)
      : undefined;
  setDriver(
    { ...world, flights },
    index,
    { ...driver, phase, record: number },
    `driver ${index} sends ${told(record)}`,
    emit,
    violation,
  );
}

/** It must be true: a newer fence stands in the log. */
export function halt(setup: Setup, world: World, index: number, driver: Driver, emit: Emit): void {
  const violation = brokenByFence(setup.catalogue, world, driver);
  setDriver(world, index, driverOver, `driver ${index} learns that it is fenced`, emit, violation);
}

export function told({ kind, slot, from, to }: LogRecord): string {
  if (kind !== 'batch') return `${kind} ${slot}`;
  return `record ${slot} (batch${from === to ? '' : 'es'} ${from === to ? from : `${from} to ${to}`})`;
}
