import { type KeyIdentity, keyIdentity } from '../base/canonical-key.ts';
import { copyPlain } from '../base/plain-data.ts';
import type { Duration } from '../base/time.ts';
import { keysPerStep, type Steps } from '../base/turns.ts';
import { ownCopy } from '../rdd/own-copy.ts';
import { reduceByKey } from '../rdd/pair-operations.ts';
import type { Partitioner } from '../rdd/partitioner.ts';
import type { RDD } from '../rdd/rdd.ts';
import { makeCombineStage } from '../rdd/stages.ts';
import type { StatePartition } from '../state/state-partition.ts';
import { type SchemaOption, type StateSchema, ValueSchema } from '../state/state-schema.ts';
import type { Batch } from './batch.ts';
import { foldKey, SlidingFold } from './sliding-fold.ts';
import {
  keyedTable,
  requireMultiple,
  StatefulNode,
  type StatefulOptions,
  type StateParameters,
  StateRDD,
  statePartitioner,
} from './stateful-node.ts';
import type { StreamNode } from './stream-node.ts';

/** The schema is that of the values in the panes. */
export interface WindowStateOptions<V> extends StatefulOptions, SchemaOption<V> {}

export interface KeyedWindowOptions<K, V> extends WindowStateOptions<V> {
  /** Keys whose value it refuses leave the window's state. Without it keys that left the window keep a neutral value. */
  readonly filter?: ((row: readonly [K, V]) => boolean) | undefined;
}

interface KeyedWindow<K, V> extends Omit<KeyedWindowOptions<K, V>, 'schema'> {
  /** Name of the method that made it. */
  readonly operator: string;
  readonly reduce: (a: V, b: V) => V;
  readonly inverse: ((a: V, b: V) => V) | undefined;
  readonly length: Duration;
  readonly slide: Duration | undefined;
  /** Values are groups: the panes of every window are folded afresh, since they grow with every step, and the schema is that of the elements. */
  readonly isGrouping?: boolean | undefined;
  readonly schema?: StateSchema<unknown> | undefined;
}

/** A stretch of panes, both ends included. */
interface PaneRange {
  readonly first: number;
  readonly last: number;
}

type WindowEmitter<K, V> = (state: StatePartition, partition: number) => Steps<[K, V][]>;

interface Folded<K, V> {
  readonly key: K;
  value: V;
}

/**
 * Spark's reduceByKeyAndWindow. One aggregate per key and pane, a pane being the greatest common divisor of length and
 * slide when the state was begun: each is written once while its batches come in and dropped with its pane, never once per overlapping window.
 *
 * Without an inverse function the window's values come from a SlidingFold over the panes, kept in memory beside the state
 * and rebuilt from it after a restart. With one, pane 0 holds the value of the window that
 * was emitted last, and a slide touches only the keys of the panes that leave and enter; the meta value names the newest
 * pane that has entered. The value is stored, not folded anew at a restart: with floating point numbers the two differ.
 */
export class KeyedWindowNode<K, V> extends StatefulNode<[K, V]> {
  readonly #parent: StreamNode<readonly [K, V]>;
  readonly #window: KeyedWindow<K, V>;
  readonly #partitioner: Partitioner;
  readonly #stage = ownCopy(makeCombineStage)();
  /** By partition. */
  readonly #folds: SlidingFold<K, V>[] = [];
  readonly #lengthMs: number;

  constructor(parent: StreamNode<readonly [K, V]>, window: KeyedWindow<K, V>) {
    const lengthMs = window.length.milliseconds;
    const slideMs = window.slide?.milliseconds ?? parent.slideMs;
    const { operator } = window;
    requireMultiple(operator, 'length', lengthMs, parent.slideMs);
    requireMultiple(operator, 'slide', slideMs, parent.slideMs);
    const uid = parent.graph.assignUid(operator, window.uid);
    const partitioner = statePartitioner(parent.graph, operator, window);
    const schema = new ValueSchema(uid, window.schema, window.isGrouping ? 'elements' : 'values');
    super({
      graph: parent.graph,
      operator,
      uid,
      parent,
      slideMs,
      table: keyedTable(schema, partitioner),
      parameters: {
        lengthMs,
        slideMs,
        paneMs: greatestCommonDivisor(lengthMs, slideMs),
        inverse: window.inverse === undefined ? 0 : 1,
      },
      mustCheckpoint: window.inverse !== undefined,
    });
    this.#parent = parent;
    this.#window = window;
    this.#partitioner = partitioner;
    this.#lengthMs = lengthMs;
  }

  /**
   * Panes of any common divisor of length and slide will do, so that a window with another length or slide goes on with the
   * panes there are: a longer one fills up, a shorter one lets the oldest go at its first slide.
   */
  override misfit({ paneMs, inverse }: StateParameters): string | undefined {
    if (inverse !== this.parameters.inverse) {
      return `define it ${inverse === 1 ? 'with' : 'without'} the inverse function again`;
    }
    if (this.#lengthMs % paneMs! === 0 && this.slideMs % paneMs! === 0) return undefined;
    return `choose a length and a slide that are multiples of ${paneMs} ms, its stored panes`;
  }

  override adopt({ paneMs }: StateParameters): void {
    this.setParameters({ ...this.parameters, paneMs: paneMs! });
  }

  get #paneMs(): number {
    return this.parameters.paneMs!;
  }

  get #panesPerWindow(): number {
    return this.#lengthMs / this.#paneMs;
  }

  override advance(batch: Batch): RDD<unknown> | undefined {
    return batch.isValidFor(this.slideMs) ? this.rdd(batch) : this.#absorb(batch, undefined);
  }

  protected override compute(batch: Batch): RDD<[K, V]> {
    const last = this.#pane(batch);
    const window = { first: last - this.#panesPerWindow + 1, last };
    const newestEntered = (this.table.meta as number | undefined) ?? 0;
    if (this.#window.inverse !== undefined) this.table.meta = last;
    return this.#absorb(batch, (state, partition) => this.#emit(state, partition, window, newestEntered));
  }

  /** What the batch adds to its pane. */
  #reduced(batch: Batch): RDD<readonly [K, V]> {
    const parent = this.#parent.rdd(batch) ?? batch.rdds.emptyRDD<readonly [K, V]>();
    return reduceByKey(parent, this.#window.reduce, this.#partitioner, this.#stage);
  }

  /** Takes the batch's rows into the open pane; `emit` gives the rows of the window, if one ends here. */
  #absorb(batch: Batch, emit: WindowEmitter<K, V> | undefined): RDD<[K, V]> {
    const pane = this.#pane(batch);
    return new StateRDD<readonly [K, V], [K, V]>({
      parent: this.#reduced(batch),
      node: this,
      batch,
      keepsKeys: true,
      step: (state, rows, partition) => this.#step(state, rows, partition, pane, emit),
    });
  }

  *#step(
    state: StatePartition,
    rows: readonly (readonly [K, V])[],
    partition: number,
    pane: number,
    emit: WindowEmitter<K, V> | undefined,
  ): Steps<[K, V][]> {
    const { reduce } = this.#window;
    for (let i = 0; i < rows.length; i++) {
      const [key, value] = rows[i]!;
      const id = keyIdentity(key);
      const cell = state.get(pane, id);
      state.put(pane, id, key, cell === undefined ? value : reduce(copyPlain(cell.value) as V, value));
      if ((i + 1) % keysPerStep === 0) yield;
    }
    return emit === undefined ? [] : yield* emit(state, partition);
  }

  *#emit(state: StatePartition, partition: number, window: PaneRange, newestEntered: number): Steps<[K, V][]> {
    const rows = yield* this.#rows(state, partition, window, newestEntered);
    for (const pane of state.panes()) if (pane > 0 && pane < window.first) state.dropPane(pane);
    return rows;
  }

  *#rows(state: StatePartition, partition: number, window: PaneRange, newestEntered: number): Steps<[K, V][]> {
    const { inverse, reduce, isGrouping } = this.#window;
    if (inverse !== undefined) return yield* this.#slide(state, window, newestEntered, inverse);
    if (isGrouping) {
      const folded = yield* this.#foldPanes(state, window);
      return Array.from(folded.values(), ({ key, value }) => [key, value]);
    }
    this.#folds[partition] ??= new SlidingFold<K, V>(reduce, this.#panesPerWindow);
    yield* this.#folds[partition].slideTo(window.last, state);
    return yield* this.#folds[partition].rows();
  }

  *#slide(
    state: StatePartition,
    window: PaneRange,
    newestEntered: number,
    inverse: (a: V, b: V) => V,
  ): Steps<[K, V][]> {
    const left = yield* this.#foldPanes(state, { first: 1, last: Math.min(window.first - 1, newestEntered) });
    const first = Math.max(window.first, newestEntered + 1);
    const entered = yield* this.#foldPanes(state, { first, last: window.last });
    let count = 0;
    for (const [id, { key }] of left) {
      this.#slideKey(state, id, key, window, { inverse, left: left.get(id), entered: entered.get(id) });
      if (++count % keysPerStep === 0) yield;
    }
    for (const [id, { key }] of entered) {
      if (left.has(id)) continue;
      this.#slideKey(state, id, key, window, { inverse, left: undefined, entered: entered.get(id) });
      if (++count % keysPerStep === 0) yield;
    }
    const rows: [K, V][] = [];
    yield* state.visit(0, (id, cell) => {
      const value = state.isChanged(0, id) ? cell.value : copyPlain(cell.value);
      rows.push([copyPlain(cell.key) as K, value as V]);
    });
    return rows;
  }

  /** The window's value of a key some of whose panes leave or enter. */
  #slideKey(
    state: StatePartition,
    id: KeyIdentity,
    key: K,
    window: PaneRange,
    moved: {
      readonly inverse: (a: V, b: V) => V;
      readonly left: Folded<K, V> | undefined;
      readonly entered: Folded<K, V> | undefined;
    },
  ): void {
    const { reduce, filter } = this.#window;
    const { inverse, left, entered } = moved;
    const previous = state.get(0, id);
    let value: V;
    if (previous === undefined) {
      // A new key, or one that the filter had let go while some of its values were still in the window.
      const folded = foldKey(state, id, window, reduce);
      if (folded === undefined) return;
      value = folded;
    } else {
      value = copyPlain(previous.value) as V;
      if (left !== undefined) value = inverse(value, left.value);
      if (entered !== undefined) value = reduce(value, entered.value);
    }
    if (filter === undefined || filter([key, value])) state.put(0, id, key, value);
    else if (previous !== undefined) state.remove(0, id);
  }

  *#foldPanes(state: StatePartition, panes: PaneRange): Steps<Map<KeyIdentity, Folded<K, V>>> {
    const reduce = this.#window.reduce;
    const byKey = new Map<KeyIdentity, Folded<K, V>>();
    for (const pane of state.panes()) {
      if (pane === 0 || pane < panes.first || pane > panes.last) continue;
      yield* state.visit(pane, (id, cell) => {
        const value = copyPlain(cell.value) as V;
        const folded = byKey.get(id);
        if (folded === undefined) byKey.set(id, { key: copyPlain(cell.key) as K, value });
        else folded.value = reduce(folded.value, value);
      });
    }
    return byKey;
  }

  /** The pane of a batch time; panes count from 1 at zero time and are open at their start. */
  #pane(batch: Batch): number {
    return Math.ceil((batch.timeMs - batch.zeroTimeMs) / this.#paneMs);
  }
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
