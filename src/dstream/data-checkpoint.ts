import { keyIdentity } from '../base/canonical-key.ts';
import { copyPlain } from '../base/plain-data.ts';
import type { Duration } from '../base/time.ts';
import type { Steps } from '../base/turns.ts';
import { RDD } from '../rdd/rdd.ts';
import type { RddContext } from '../rdd/rdd-context.ts';
import type { TaskContext } from '../rdd/task.ts';
import type { StatePartition } from '../state/state-partition.ts';
import { StateTable } from '../state/state-table.ts';
import type { Batch } from './batch.ts';
import { requireMultiple, StatefulNode, type StateParameters, StateRDD, type UidOption } from './stateful-node.ts';
import type { StreamNode } from './stream-node.ts';

/** Some of the rows of one partition of one batch; also their key in the state. Every partition has a chunk 0. */
type ChunkKey = readonly [timeMs: number, partition: number, chunk: number];

// A cell is one stored value, whose size is bounded.
const rowsPerChunk = 1024;

/**
 * Spark's RDD data checkpoint of a stream: every `interval` the rows of its batch are kept in the checkpoint, so that
 * `slice` gives them after a restart, without the source and the operators above.
 *
 * They are state like that of a window: in the record of their batch, in segments when they are large, in snapshots later,
 * and gone with the retention of what no longer refers to them. Kept are those of the remembered time, and two at least.
 */
export class DataCheckpointNode<T> extends StatefulNode<never> {
  readonly #parent: StreamNode<T>;
  readonly #intervalMs: number;

  /** @throws GRAPH_INVALID when the interval does not fit the stream */
  constructor(parent: StreamNode<T>, interval: Duration, options: UidOption) {
    requireMultiple('checkpoint', 'interval', interval.milliseconds, parent.slideMs);
    const uid = parent.graph.assignUid('checkpoint', options.uid);
    const intervalMs = interval.milliseconds;
    super({
      graph: parent.graph,
      operator: 'checkpoint',
      uid,
      parent,
      slideMs: intervalMs,
      table: new StateTable({ uid, numPartitions: 1, partitionOf: (key) => (key as ChunkKey)[1] }),
      parameters: { intervalMs, paneMs: intervalMs },
    });
    this.#parent = parent;
    this.#intervalMs = intervalMs;
  }

  /** It has no rows of its own to be asked for: it runs whenever its parent does. */
  override get followsParent(): boolean {
    return true;
  }

  /** The driver reads it after a restart. */
  override get isDivisible(): boolean {
    return false;
  }

  /** Chunks carry their batch time, so any interval can go on with those there are. */
  override misfit(): undefined {
    return undefined;
  }

  override adopt({ paneMs }: StateParameters): void {
    this.setParameters({ ...this.parameters, paneMs: paneMs! });
  }

  override advance(batch: Batch): RDD<unknown> | undefined {
    const parent = batch.isValidFor(this.#intervalMs) ? this.#parent.rdd(batch) : undefined;
    if (parent === undefined) return undefined;
    // Partitions that have a task drop their old panes in it, since a task starts from a clean overlay.
    for (let p = parent.numPartitions; p < this.table.numPartitions; p++) this.#dropOld(this.table.partition(p), batch);
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
    const pane = this.#pane(batch.timeMs, batch.zeroTimeMs);
    for (let chunk = 0; chunk === 0 || chunk * rowsPerChunk < rows.length; chunk++) {
      const key: ChunkKey = [batch.timeMs, partition, chunk];
      state.put(pane, keyIdentity(key), key, rows.slice(chunk * rowsPerChunk, (chunk + 1) * rowsPerChunk));
      yield;
    }
    return [];
  }

  /** The rows of the batch at `timeMs` with their partitions; undefined: they are not kept. The batch is committed. */
  stored(timeMs: number, zeroTimeMs: number, rdds: RddContext): RDD<T> | undefined {
    const pane = this.#pane(timeMs, zeroTimeMs);
    const partitions: (readonly T[])[][] = [];
    for (let p = 0; p < this.table.numPartitions; p++) {
      const state = this.table.partition(p);
      const chunks: (readonly T[])[] = [];
      for (;;) {
        const cell = state.get(pane, keyIdentity([timeMs, p, chunks.length] satisfies ChunkKey));
        if (cell === undefined) break;
        chunks.push(cell.value as readonly T[]);
      }
      if (chunks.length === 0) break;
      partitions.push(chunks);
    }
    return partitions.length === 0 ? undefined : new StoredRDD<T>(rdds, partitions);
  }

  protected override compute(): undefined {
    return undefined;
  }

  #pane(timeMs: number, zeroTimeMs: number): number {
    return Math.ceil((timeMs - zeroTimeMs) / this.parameters.paneMs!);
  }

  #dropOld(state: StatePartition, batch: Batch): void {
    const keptMs = Math.max(2 * this.#intervalMs, this.graph.remembered.rememberMs ?? 0);
    const newestDropped = Math.floor((batch.timeMs - keptMs - batch.zeroTimeMs) / this.parameters.paneMs!);
    for (const pane of state.panes()) if (pane <= newestDropped) state.dropPane(pane);
  }
}

/** Rows that were read from the state when the RDD was made: the state may move on. */
class StoredRDD<T> extends RDD<T> {
  readonly numPartitions: number;
  readonly dependencies = [];
  readonly #partitions: readonly (readonly (readonly T[])[])[];

  constructor(context: RddContext, partitions: readonly (readonly (readonly T[])[])[]) {
    super(context, 'checkpoint');
    this.numPartitions = partitions.length;
    this.#partitions = partitions;
  }

  override pipe(partition: number, _task: TaskContext, push: (row: T) => void): void {
    for (const rows of this.#partitions[partition]!) {
      // Copies: what a user's function does to a row must not reach the committed state.
      for (let i = 0; i < rows.length; i++) push(copyPlain(rows[i]!));
    }
  }
}
