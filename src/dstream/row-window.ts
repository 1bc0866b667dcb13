import { keyIdentity } from '../base/canonical-key.ts';
import { copyPlain } from '../base/plain-data.ts';
import type { Duration } from '../base/time.ts';
import { RDD } from '../rdd/rdd.ts';
import type { RddContext } from '../rdd/rdd-context.ts';
import type { TaskContext } from '../rdd/task.ts';
import type { StatePartition } from '../state/state-partition.ts';
import { type SchemaOption, ValueSchema } from '../state/state-schema.ts';
import { StateTable } from '../state/state-table.ts';
import type { Batch } from './batch.ts';
import { requireMultiple, StatefulNode, type StateParameters, StateRDD, type UidOption } from './stateful-node.ts';
import type { StreamNode } from './stream-node.ts';

/** The schema is that of the rows. */
export interface RowWindowOptions<T> extends UidOption, SchemaOption<T> {}

/** Where a slice of rows came from; also its key in the state: [batch time, partition]. */
type SliceKey = readonly [timeMs: number, partition: number];

/**
 * Spark's `window`: the rows of all batches in (t - length, t].
 *
 * The rows of each batch are written to the state once, one cell per partition, in a pane per batch, and dropped with it. So a restart needs neither the source's history nor the operators above, which may be stateful
 * themselves or changed since. Partitions of the window are those of its batches, oldest first, as in Spark.
 */
export class RowWindowNode<T> extends StatefulNode<T> {
  readonly #parent: StreamNode<T>;
  readonly #lengthMs: number;

  constructor(parent: StreamNode<T>, length: Duration, slide: Duration | undefined, options: RowWindowOptions<T>) {
    const slideMs = slide?.milliseconds ?? parent.slideMs;
    requireMultiple('window', 'length', length.milliseconds, parent.slideMs);
    requireMultiple('window', 'slide', slideMs, parent.slideMs);
    const uid = parent.graph.assignUid('window', options.uid);
    super({
      graph: parent.graph,
      operator: 'window',
      uid,
      parent,
      slideMs,
      table: new StateTable({
        uid,
        numPartitions: 1,
        partitionOf: (key) => (key as SliceKey)[1],
        schema: new ValueSchema(uid, options.schema, 'elements'),
      }),
      parameters: { lengthMs: length.milliseconds, slideMs, paneMs: parent.slideMs },
      mustCheckpoint: false,
    });
    this.#parent = parent;
    this.#lengthMs = length.milliseconds;
  }

  /** The rows of a window are kept anyway; asked to persist, it has its parent do so, as in Spark. */
  override persist(): void {
    this.#parent.persist();
  }

  /** Rows carry their batch time, so any length, slide and batch interval can go on with those there are. */
  override misfit(): undefined {
    return undefined;
  }

  override adopt({ paneMs }: StateParameters): void {
    this.setParameters({ ...this.parameters, paneMs: paneMs! });
  }

  override advance(batch: Batch): RDD<unknown> | undefined {
    const parent = this.#parent.rdd(batch);
    // Partitions that have a task drop their old panes in it, since a task starts from a clean overlay.
    for (let p = parent?.numPartitions ?? 0; p < this.table.numPartitions; p++) {
      this.#dropOld(this.table.partition(p), batch);
    }
    if (parent === undefined) return undefined;
    const step = (state: StatePartition, rows: readonly T[], partition: number): never[] => {
      this.#dropOld(state, batch);
      const key: SliceKey = [batch.timeMs, partition];
      if (rows.length > 0) state.put(this.#pane(batch.timeMs, batch), keyIdentity(key), key, rows);
      return [];
    };
    return new StateRDD<T, never>({ parent, node: this, batch, keepsKeys: false, step });
  }

  protected override compute(batch: Batch): RDD<T> {
    return new RowWindowRDD<T>(batch.rdds, this.#slices(batch), ([timeMs, partition]) => {
      const cell = this.table.partition(partition).get(this.#pane(timeMs, batch), keyIdentity([timeMs, partition]));
      return (cell?.value ?? []) as readonly T[];
    });
  }

  /** Pane of a batch time, open at its start. As wide as the parent's slide was when the state was begun. */
  #pane(timeMs: number, batch: Batch): number {
    return Math.ceil((timeMs - batch.zeroTimeMs) / this.parameters.paneMs!);
  }

  #dropOld(state: StatePartition, batch: Batch): void {
    const newestDropped = Math.floor((batch.timeMs - this.#lengthMs - batch.zeroTimeMs) / this.parameters.paneMs!);
    for (const pane of state.panes()) if (pane <= newestDropped) state.dropPane(pane);
  }

  /** What the window is made of, by batch, then partition: slices that are committed, then those of this batch. */
  #slices(batch: Batch): SliceKey[] {
    const oldestMs = batch.timeMs - this.#lengthMs;
    const slices: SliceKey[] = [];
    for (let p = 0; p < this.table.numPartitions; p++) {
      const state = this.table.partition(p);
      for (const pane of state.panes()) {
        state.forEach(pane, (_id, { key }) => {
          const slice = key as SliceKey;
          if (slice[0] > oldestMs && slice[0] < batch.timeMs) slices.push(slice);
        });
      }
    }
    slices.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const arrivals = this.#parent.rdd(batch)?.numPartitions ?? 0;
    for (let p = 0; p < arrivals; p++) slices.push([batch.timeMs, p]);
    return slices;
  }
}

/** The slices of a window, one partition each. Its batch's own slices are there once the state has advanced. */
class RowWindowRDD<T> extends RDD<T> {
  readonly numPartitions: number;
  readonly dependencies = [];
  readonly #slices: readonly SliceKey[];
  readonly #load: (slice: SliceKey) => readonly T[];

  constructor(context: RddContext, slices: readonly SliceKey[], load: (slice: SliceKey) => readonly T[]) {
    super(context, 'window');
    this.numPartitions = slices.length;
    this.#slices = slices;
    this.#load = load;
  }

  override pipe(partition: number, _task: TaskContext, push: (row: T) => void): void {
    const rows = this.#load(this.#slices[partition]!);
    // Copies: what a user's function does to a row must not reach the committed state.
    for (let i = 0; i < rows.length; i++) push(copyPlain(rows[i]!));
  }
}
