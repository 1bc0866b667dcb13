import { type KeyIdentity, keyIdentity } from '../base/canonical-key.ts';
import { TidemarkError } from '../base/errors.ts';
import { copyPlain, equalPlain } from '../base/plain-data.ts';
import type { Duration, Time } from '../base/time.ts';
import { keysPerStep, type Steps } from '../base/turns.ts';
import type { Partitioner } from '../rdd/partitioner.ts';
import type { RDD } from '../rdd/rdd.ts';
import { ownValue } from '../state/pane.ts';
import type { Cell, StatePartition } from '../state/state-partition.ts';
import { type SchemaOption, ValueSchema } from '../state/state-schema.ts';
import type { Batch } from './batch.ts';
import { type InitialState, type InitialStateLoad, InitialStateLoader } from './initial-state.ts';
import {
  keyedTable,
  StatefulNode,
  type StateParameters,
  StateRDD,
  statePartitioner,
  type UidOption,
} from './stateful-node.ts';
import { StreamNode } from './stream-node.ts';

/** The state of one key during one call of the function of `mapWithState`. Don't keep it: it is reused. Source: Spark's `State`. */
export interface State<S> {
  exists(): boolean;
  /** @throws OPTION_INVALID when the key has no state. */
  get(): S;
  getOption(): S | undefined;
  /** @throws OPTION_INVALID after `remove()`, or while the key is timing out. */
  update(state: S): void;
  /** @throws OPTION_INVALID when removed already, or while the key is timing out. */
  remove(): void;
  /** True in the one call a key gets when its timeout has passed; it is removed after the call. */
  isTimingOut(): boolean;
}

/**
 * `value` is undefined when the key is timing out. What it returns is emitted, undefined emits nothing.
 * Differs from Spark, where a second form of the function takes the time first: here the time comes last.
 */
export type StateFunction<K, V, S, M> = (key: K, value: V | undefined, state: State<S>, time: Time) => M;

interface StateSpecFields<K, V, S, M> {
  readonly run: StateFunction<K, V, S, M>;
  readonly timeoutMs?: number | undefined;
  readonly initialState?: InitialState<K, S> | undefined;
  readonly numPartitions?: number | undefined;
  readonly partitioner?: Partitioner | undefined;
}

/** How `mapWithState` is found again, and what its states look like. */
export interface MapStateOptions<S> extends UidOption, SchemaOption<S> {}

/** What `mapWithState` does with each record. Immutable: every method gives a new spec. Source: Spark's `StateSpec`. */
export class StateSpec<K, V, S, M> {
  readonly fields: StateSpecFields<K, V, S, M>;

  private constructor(fields: StateSpecFields<K, V, S, M>) {
    this.fields = fields;
  }

  static function<K, V, S, M>(run: StateFunction<K, V, S, M>): StateSpec<K, V, S, M> {
    if (typeof run !== 'function') {
      throw new TidemarkError('OPTION_INVALID', `StateSpec.function(${String(run)}): the argument must be a function.`);
    }
    return new StateSpec({ run });
  }

  /** Removes a key that had no data for longer than `idle`, after one last call. Checked in every batch. */
  timeout(idle: Duration): StateSpec<K, V, S, M> {
    if (idle.milliseconds <= 0) {
      throw new TidemarkError('OPTION_INVALID', `StateSpec.timeout(${idle}): the timeout must be positive.`);
    }
    return new StateSpec({ ...this.fields, timeoutMs: idle.milliseconds });
  }

  /** State the stream begins with. The function is not called for it; for timeouts it is as old as the first batch. */
  initialState(rows: InitialState<K, S>): StateSpec<K, V, S, M> {
    return new StateSpec({ ...this.fields, initialState: rows });
  }

  /** Partitions of the state. Of this and `partitioner` the last call counts. */
  numPartitions(numPartitions: number): StateSpec<K, V, S, M> {
    return new StateSpec({ ...this.fields, numPartitions, partitioner: undefined });
  }

  partitioner(partitioner: Partitioner): StateSpec<K, V, S, M> {
    return new StateSpec({ ...this.fields, partitioner, numPartitions: undefined });
  }
}

/** Spark's mapWithState: one call per record, in order; state is touched by keys with data, or whose timeout has passed. */
export class MapWithStateNode<K, V, S, M> extends StatefulNode<Exclude<M, undefined>> {
  readonly #parent: StreamNode<readonly [K, V]>;
  readonly #spec: StateSpecFields<K, V, S, M>;
  readonly #partitioner: Partitioner;
  readonly #initial: InitialStateLoader<K, S>;

  constructor(
    parent: StreamNode<readonly [K, V]>,
    { fields: spec }: StateSpec<K, V, S, M>,
    options: MapStateOptions<S>,
  ) {
    const uid = parent.graph.assignUid('mapWithState', options.uid);
    const partitioner = statePartitioner(parent.graph, 'mapWithState', spec);
    const keepsTimes = spec.timeoutMs !== undefined;
    super({
      graph: parent.graph,
      operator: 'mapWithState',
      uid,
      parent,
      slideMs: parent.slideMs,
      table: keyedTable(new ValueSchema(uid, options.schema), partitioner),
      parameters: { keepsTimes: keepsTimes ? 1 : 0 },
    });
    this.#parent = parent;
    this.#spec = spec;
    this.#partitioner = partitioner;
    this.#initial = new InitialStateLoader(this.table, spec.initialState ?? [], (key) => partitioner.partition(key));
  }

  /** Times that are kept and not asked for do no harm; times that were not kept can't be made up. */
  override misfit({ keepsTimes }: StateParameters): string | undefined {
    return keepsTimes === 0 && this.parameters.keepsTimes === 1
      ? 'define it without a timeout: its keys have no times'
      : undefined;
  }

  override advance(batch: Batch): RDD<unknown> | undefined {
    return this.rdd(batch);
  }

  /** To find the keys whose time has passed all are needed. */
  override get restoresLazily(): boolean {
    return this.#spec.timeoutMs === undefined;
  }

  override timeoutThresholdMs(batch: Batch): number {
    return batch.timeMs - (this.#spec.timeoutMs ?? Number.POSITIVE_INFINITY);
  }

  protected override compute(batch: Batch): RDD<Exclude<M, undefined>> {
    const input = this.#parent.rdd(batch)?.partitionBy(this.#partitioner);
    const load = this.#initial.begin();
    return new StateRDD<readonly [K, V], Exclude<M, undefined>>({
      parent: input ?? batch.rdds.emptyRDD<readonly [K, V]>().partitionBy(this.#partitioner),
      node: this,
      batch,
      keepsKeys: false,
      step: (state, rows, partition) => this.#step(state, rows, partition, batch, load),
    });
  }

  *#step(
    state: StatePartition,
    rows: readonly (readonly [K, V])[],
    partition: number,
    batch: Batch,
    load: InitialStateLoad | undefined,
  ): Steps<Exclude<M, undefined>[]> {
    if (load !== undefined) yield* load(state, partition, this.#touchMs(batch));
    const run = this.#spec.run;
    const touched = new Map<KeyIdentity, StateSlot<S>>();
    const out: Exclude<M, undefined>[] = [];
    for (let i = 0; i < rows.length; i++) {
      const [key, value] = rows[i]!;
      const id = keyIdentity(key);
      let slot = touched.get(id);
      if (slot === undefined) {
        slot = new StateSlot<S>(key, state.get(0, id), false);
        touched.set(id, slot);
      }
      slot.beginCall();
      const mapped = run(key, value, slot, batch.time);
      if (mapped !== undefined) out.push(mapped as Exclude<M, undefined>);
      if ((i + 1) % keysPerStep === 0) yield;
    }
    if (this.#spec.timeoutMs !== undefined) {
      yield* state.expiring(this.timeoutThresholdMs(batch), (id, cell) => {
        if (touched.has(id)) return;
        const mapped = run(copyPlain(cell.key) as K, undefined, new StateSlot<S>(cell.key, cell, true), batch.time);
        if (mapped !== undefined) out.push(mapped as Exclude<M, undefined>);
        state.remove(0, id);
      });
    }
    let count = 0;
    for (const [id, slot] of touched) {
      slot.store(state, id, this.#touchMs(batch));
      if (++count % keysPerStep === 0) yield;
    }
    return out;
  }

  #touchMs(batch: Batch): number {
    return this.#spec.timeoutMs === undefined ? 0 : batch.timeMs;
  }
}

/** Every key and its state, every batch, as the batch leaves it. */
export class StateSnapshotNode<K, S> extends StreamNode<[K, S]> {
  readonly #states: StatefulNode<unknown>;

  constructor(states: StatefulNode<unknown>) {
    super(states.graph, 'stateSnapshots', [states], states.slideMs);
    this.#states = states;
  }

  protected override compute(batch: Batch): RDD<[K, S]> | undefined {
    const advanced = this.#states.rdd(batch);
    if (advanced === undefined) return undefined;
    const { table } = this.#states;
    return batch.rdds.rdd<[K, S]>({
      name: 'stateSnapshots',
      numPartitions: advanced.numPartitions,
      dependencies: [advanced],
      pipe: async (partition, task, push) => {
        await advanced.pipe(partition, task, () => {});
        if (!table.isLoaded) await table.ensureLoaded();
        const states = table
          .partition(partition)
          .visit(0, (_id, { key, value }) => push([key as K, copyPlain(value) as S]));
        await batch.rdds.turns.run(states, task.signal);
      },
    });
  }
}

/** A key's state within one batch: what it was committed as, and what the calls so far have made of it. */
class StateSlot<S> implements State<S> {
  readonly #key: unknown;
  readonly #committed: Cell | undefined;
  readonly #timingOut: boolean;
  #value: S | undefined;
  /** The value was taken from the committed cell, or given. */
  #hasValue = false;
  #exists: boolean;
  #removedInCall = false;

  constructor(key: unknown, committed: Cell | undefined, timingOut: boolean) {
    this.#key = key;
    this.#committed = committed;
    this.#timingOut = timingOut;
    this.#exists = committed !== undefined;
  }

  beginCall(): void {
    this.#removedInCall = false;
  }

  exists(): boolean {
    return this.#exists;
  }

  get(): S {
    if (!this.#exists) throw this.#refused('get', 'the key has no state; use getOption() or exists()');
    return this.#own() as S;
  }

  getOption(): S | undefined {
    return this.#own();
  }

  #own(): S | undefined {
    if (!this.#hasValue && this.#committed !== undefined) this.#value = ownValue(this.#committed) as S;
    this.#hasValue = true;
    return this.#value;
  }

  update(state: S): void {
    if (this.#removedInCall) throw this.#refused('update', 'it was removed in the same call');
    if (this.#timingOut) throw this.#refused('update', 'it is timing out');
    if (state === undefined) throw this.#refused('update', 'undefined is no state; use remove()');
    this.#value = state;
    this.#hasValue = true;
    this.#exists = true;
  }

  remove(): void {
    if (this.#removedInCall) throw this.#refused('remove', 'it was removed already');
    if (this.#timingOut) throw this.#refused('remove', 'it is timing out, and removed after this call anyway');
    this.#value = undefined;
    this.#hasValue = true;
    this.#exists = false;
    this.#removedInCall = true;
  }

  isTimingOut(): boolean {
    return this.#timingOut;
  }

  /** Writes what differs from the committed cell; with a timeout, any data counts as a touch. */
  store(state: StatePartition, id: KeyIdentity, touchMs: number): void {
    const committed = this.#committed;
    if (!this.#exists) {
      if (committed !== undefined) state.remove(0, id);
      return;
    }
    if (committed !== undefined && committed.timeMs === touchMs) {
      // An entry kept as bytes is compared as bytes when it is sealed.
      if (!this.#hasValue || (committed.decode === undefined && equalPlain(this.#value, committed.value))) return;
    }
    state.put(0, id, this.#key, this.#own(), touchMs, committed);
  }

  #refused(call: string, reason: string): TidemarkError {
    return new TidemarkError(
      'OPTION_INVALID',
      `State.${call}() of key ${String(this.#key)} is not possible: ${reason}.`,
    );
  }
}
