/** How large a world is explored, and which parts of the protocol take part. Everything else is left out, not faked. */
export interface Configuration {
  readonly name: string;
  /** Lives of drivers; each begins when somebody starts it, and any number of them run at once. */
  readonly drivers: number;
  /** The log is looked at up to this slot. */
  readonly slots: number;
  /** How often the network delivers a write, by driver: 2 stands for a resend as well as for a duplicate. */
  readonly deliveries: readonly (1 | 2)[];
  /** Batches that one record may cover. */
  readonly groupMax: number;
  readonly segments: boolean;
  /** Manifests that each driver may write; without any, nothing is ever deleted. */
  readonly manifestsMax: readonly number[];
  readonly retainManifests: number;
  /** A manifest may be adopted by a later record than the next, and is begun while a record is on its way. */
  readonly lateAdoption: boolean;
  readonly pinsMax: number;
  readonly rewindsMax: number;
  /** A reader chooses where it begins, and reads from there later. */
  readonly slowReaders: boolean;
  /** Deletes take effect one by one, in any order. Else: all of one call at once. */
  readonly singleDeletes: boolean;
  /** Undefined: the floor is read after every write and age plays no part. Else: the rule by the store's clock. */
  readonly clock: { readonly silence: number; readonly end: number } | undefined;
}

export interface Flight {
  readonly record: number;
  readonly owner: number;
  readonly left: number;
}

export type Phase =
  | 'new'
  | 'aimed'
  | 'found'
  | 'fencing'
  | 'fence floor'
  | 'loading'
  | 'active'
  | 'ready'
  | 'putting'
  | 'read back'
  | 'ask floor'
  | 'over';

export interface Driver {
  readonly phase: Phase;
  readonly epoch: number;
  /** The record it believes to be the last one. */
  readonly tail: number;
  /** On its way, or about to be. */
  readonly record: number;
  /** The store's clock when the tail was acknowledged, and a moment before the tail arrived. */
  readonly ackedAt: number;
  readonly arrivedAfter: number;
  /** Of the answer in hand. */
  readonly answeredAt: number;
  /** A manifest in the store that no record adopted yet; while it reads: the manifest it begins at. */
  readonly pending: number;
  readonly manifests: number;
  /** The last batch it believes to be committed. */
  readonly believed: number;
}

/** Deletes of one driver. They outlive it: requests on their way take effect without it. */
export interface Cleaning {
  /** Announced and to be raised; 0: nothing to do. */
  readonly floor: number;
  readonly dead: readonly number[];
}

export interface World {
  readonly registers: { readonly now: number; readonly floor: number };
  /** What stands in the slots: index 0 is slot 1; 0: nothing. */
  readonly log: readonly number[];
  /** The first content of every slot. */
  readonly truth: readonly number[];
  readonly objects: readonly number[];
  readonly flights: readonly Flight[];
  readonly drivers: readonly Driver[];
  readonly cleanings: readonly Cleaning[];
}

export const newDriver: Driver = {
  phase: 'new',
  epoch: 0,
  tail: 0,
  record: 0,
  ackedAt: 0,
  arrivedAfter: 0,
  answeredAt: 0,
  pending: 0,
  manifests: 0,
  believed: 0,
};

export const driverOver: Driver = { ...newDriver, phase: 'over' };

export const nothingToClean: Cleaning = { floor: 0, dead: [] };

export function firstWorld({ drivers, slots }: Configuration): World {
  return {
    registers: { now: 0, floor: 0 },
    log: Array.from({ length: slots }, () => 0),
    truth: [],
    objects: [],
    flights: [],
    drivers: Array.from({ length: drivers }, () => newDriver),
    cleanings: Array.from({ length: drivers }, () => nothingToClean),
  };
}

export function partsOf(world: World): readonly object[] {
  const { registers, log, truth, objects, flights, drivers, cleanings } = world;
  return [registers, log, truth, objects, flights, ...drivers, ...cleanings];
}

export function fromParts(parts: readonly object[]): World {
  const [registers, log, truth, objects, flights] = parts as never as [
    World['registers'],
    readonly number[],
    readonly number[],
    readonly number[],
    readonly Flight[],
  ];
  const drivers = (parts.length - 5) / 2;
  return {
    registers,
    log,
    truth,
    objects,
    flights,
    drivers: parts.slice(5, 5 + drivers) as Driver[],
    cleanings: parts.slice(5 + drivers) as Cleaning[],
  };
}

export function replaced<T>(list: readonly T[], index: number, item: T): readonly T[] {
  return list.with(index, item);
}

export function withAll(list: readonly number[], items: readonly number[]): readonly number[] {
  return items.every((item) => list.includes(item)) ? list : [...new Set([...list, ...items])].sort((a, b) => a - b);
}

export function without(list: readonly number[], items: readonly number[]): readonly number[] {
  return list.filter((item) => !items.includes(item));
}
