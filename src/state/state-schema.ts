import { inspect } from 'node:util';
import { TidemarkError, toError } from '../base/errors.ts';
import { copyPlain } from '../base/plain-data.ts';

/**
 * The form of the values an operator stores. Every stored value carries the version it was written in. A value of another
 * version is brought to the program's when it is first needed, and written in it soon after.
 */
export interface StateSchema<S> {
  /** Of the values this program writes: a whole number from 1. An operator without a schema writes version 1. */
  readonly version: number;
  /**
   * Brings a stored value to `version`: one function, or one step per older version, each leading to the next version.
   * It may change its argument. It must be deterministic and must not return undefined.
   */
  readonly migrate?: MigrateFunction<S> | MigrateSteps | undefined;
  /**
   * Newer versions this program can go back from. Their values go through a `migrate` function too, or through the step of
   * their version; without one they are taken as they are.
   */
  readonly reads?: readonly number[] | undefined;
}

// As methods, so that the argument may be declared as the older type.
export type MigrateFunction<S> = { of(value: unknown, fromVersion: number): S }['of'];
/** By the version a step starts from. */
export type MigrateSteps = Readonly<Record<number, { of(value: unknown): unknown }['of']>>;

export interface SchemaOption<S> {
  /** Form of the stored values, once it has changed since the stream was first started. */
  readonly schema?: StateSchema<S> | undefined;
}

const versionMax = 0xffff;

/**
 * The schema of one operator, checked: what the state asks when it meets a value of another version.
 *
 * `eachOf`: the stored value is an array, and the schema is that of its elements.
 */
export class ValueSchema {
  readonly uid: string;
  readonly version: number;
  readonly #migrate: MigrateFunction<unknown> | MigrateSteps | undefined;
  readonly #reads: ReadonlySet<number>;
  readonly #isOfElements: boolean;

  /** @throws OPTION_INVALID */
  constructor(uid: string, schema: StateSchema<unknown> | undefined, of: 'values' | 'elements' = 'values') {
    this.uid = uid;
    this.version = checkedVersion(uid, 'version', schema?.version ?? 1);
    this.#migrate = checkedMigrate(uid, schema?.migrate);
    this.#reads = new Set((schema?.reads ?? []).map((version) => checkedVersion(uid, 'reads', version)));
    this.#isOfElements = of === 'elements';
  }

  /** True when values of this version can be brought to that of the program. */
  canRead(from: number): boolean {
    if (from === this.version) return true;
    if (from > this.version) return this.#reads.has(from);
    return this.#missingStep(from) === undefined;
  }

  /** What is to be added to the program to read values of a version it can't read. */
  missing(from: number): string {
    if (from > this.version) {
      return `run version ${from} again, declare schema: { version: ${this.version}, reads: [${from}] } if this program can read its values, or rewind to a batch before them`;
    }
    const step = typeof this.#migrate === 'object' ? ` step ${this.#missingStep(from)}` : '';
    return `add migrate${step} to schema: { version: ${this.version} } for values of version ${from}`;
  }

  /** `value` is not changed. @throws STATE_MIGRATION_FAILED */
  upgrade(key: unknown, value: unknown, from: number): unknown {
    if (!this.canRead(from)) throw this.#failed(key, from, `the program can't read it: ${this.missing(from)}`);
    try {
      const own = copyPlain(value);
      const upgraded = this.#isOfElements
        ? (own as unknown[]).map((element) => this.#upgradeOne(element, from))
        : this.#upgradeOne(own, from);
      return copyPlain(upgraded);
    } catch (cause) {
      throw this.#failed(key, from, toError(cause).message, cause);
    }
  }

  #upgradeOne(value: unknown, from: number): unknown {
    const upgraded = this.#run(value, from);
    if (upgraded === undefined) throw new Error('migrate returned undefined, which is no value');
    return upgraded;
  }

  #run(value: unknown, from: number): unknown {
    if (typeof this.#migrate === 'function') return this.#migrate(value, from);
    const steps = this.#migrate ?? {};
    if (from > this.version) return steps[from] === undefined ? value : steps[from](value);
    let current = value;
    for (let version = from; version < this.version; version++) current = steps[version]!(current);
    return current;
  }

  /** The first version on the way that nothing leads on from. */
  #missingStep(from: number): number | undefined {
    if (typeof this.#migrate === 'function') return undefined;
    for (let version = from; version < this.version; version++) {
      if (this.#migrate?.[version] === undefined) return version;
    }
    return undefined;
  }

  #failed(key: unknown, from: number, problem: string, cause?: unknown): TidemarkError {
    return new TidemarkError(
      'STATE_MIGRATION_FAILED',
      `The value of key ${inspect(key, { breakLength: Number.POSITIVE_INFINITY })} of operator '${this.uid}' could not be brought from schema version ${from} to ` +
        `${this.version}: ${problem}. The batch is not committed, and the stored state is as it was.`,
      { cause, context: { uid: this.uid, key, fromVersion: from, toVersion: this.version } },
    );
  }
}

function checkedVersion(uid: string, field: string, version: unknown): number {
  if (Number.isInteger(version) && (version as number) >= 1 && (version as number) <= versionMax) {
    return version as number;
  }
  throw new TidemarkError(
    'OPTION_INVALID',
    `schema of '${uid}': ${field} must be a whole number from 1 to ${versionMax}, not ${String(version)}.`,
  );
}

function checkedMigrate(uid: string, migrate: unknown): MigrateFunction<unknown> | MigrateSteps | undefined {
  if (migrate === undefined || typeof migrate === 'function') return migrate as MigrateFunction<unknown> | undefined;
  if (typeof migrate === 'object' && migrate !== null) {
    for (const [from, step] of Object.entries(migrate)) {
      checkedVersion(uid, 'the version a step of migrate starts from', Number(from));
      if (typeof step !== 'function') throw notAFunction(uid, `step ${from} of migrate`, step);
    }
    return migrate as MigrateSteps;
  }
  throw notAFunction(uid, 'migrate', migrate);
}

function notAFunction(uid: string, field: string, value: unknown): TidemarkError {
  return new TidemarkError(
    'OPTION_INVALID',
    `schema of '${uid}': ${field} must be a function or an object of functions by version, not ${String(value)}.`,
  );
}
