import { keyIdentity } from '../base/canonical-key.ts';
import { copyPlain } from '../base/plain-data.ts';
import type { Duration } from '../base/time.ts';
import type { Steps } from '../base/turns.ts';
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

/** Where rows came from. */
type Slice = readonly [timeMs: number, partition: number];
/** Some of the rows of a slice; also their key in the state. A slice with rows has a chunk 0. */
type ChunkKey = readonly [...Slice, chunk: number];

// A cell is stored and read in one piece.
const rowsPerChunk = 1024;

/**
 * Spark's `window`: the rows of all batches in (t - length, t].
 *
 * The rows of each batch are written to the state once, some cells per partition, in a pane per batch, and dropped with
 * it. So a restart needs neither the source's history nor the operators above, which may be stateful themselves or changed since. Partitions of the window are those of its batches, oldest first, as in Spark.
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
        partitionOf: (key) => (key as ChunkKey)[1],
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

  /** Its partitions are those of the batches, one after the other: not those of its state. */
  override get isDivisible(): boolean {
    return false;
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
    return new StateRDD<T, never>({
      parent,
      node: this,
      batch,
      keepsKeys: false,
      step: (state, rows, partition) => this.#step(state, rows, partition, batch),
    });
  }

  *#step(state: StatePartition, rows: readonly T[], partition: number, batch: Batch): Steps<never[]> {
    this.#dropOld(state, batch);
    const pane = this.#pane(batch.timeMs, batch);
    for (let chunk = 0; chunk * rowsPerChunk < rows.length; chunk++) {
      const key: ChunkKey = [batch.timeMs, partition, chunk];
      state.put(pane, keyIdentity(key), key, rows.slice(chunk * rowsPerChunk, (chunk + 1) * rowsPerChunk));
      yield;
    }
    return [];
  }

  protected override compute(batch: Batch): RDD<T> {
    return new RowWindowRDD<T>(batch.rdds, this.#slices(batch), ([timeMs, partition], chunk) => {
      const key: ChunkKey = [timeMs, partition, chunk];
      return this.table.partition(partition).get(this.#pane(timeMs, batch), keyIdentity(key))?.value as readonly T[];
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
  #slices(batch: Batch): Slice[] {
    const oldestMs = batch.timeMs - this.#lengthMs;
    const slices: Slice[] = [];
    for (let p = 0; p < this.table.numPartitions; p++) {
      const state = this.table.partition(p);
      for (const pane of state.panes()) {
        state.forEach(pane, (_id, { key }) => {
          const [timeMs, partition, chunk] = key as ChunkKey;
          if (chunk === 0 && timeMs > oldestMs && timeMs < batch.timeMs) slices.push([timeMs, partition]);
        });
      }
    }
    slices.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const arrivals = this.#parent.rdd(batch)?.numPartitions ?? 0;
    for (let p = 0; p < arrivals; p++) slices.push([batch.timeMs, p]);
    return slices;
  }
}

/** Undefined: the slice has no such chunk. */
type LoadChunk<T> = (slice: Slice, chunk: number) => readonly T[] | undefined;

/** The slices of a window, one partition each. Its batch's own slices are there once the state has advanced. */
class RowWindowRDD<T> extends RDD<T> {
  readonly numPartitions: number;
  readonly dependencies = [];
  readonly #slices: readonly Slice[];
  readonly #load: LoadChunk<T>;

  constructor(context: RddContext, slices: readonly Slice[], load: LoadChunk<T>) {
    super(context, 'window');
    this.numPartitions = slices.length;
    this.#slices = slices;
    this.#load = load;
  }

  override async pipe(partition: number, task: TaskContext, push: (row: T) => void): Promise<void> {
    const { turns } = this.context;
    const slice = this.#slices[partition]!;
    for (let chunk = 0; ; chunk++) {
      const rows = this.#load(slice, chunk);
      if (rows === undefined) return;
      // Copies: what a user's function does to a row must not reach the committed state.
      for (let i = 0; i < rows.length; i++) push(copyPlain(rows[i]!));
      if (turns.isOver) await turns.giveUnlessAborted(task.signal);
    }
  }
}
