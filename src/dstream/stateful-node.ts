import { TidemarkError } from '../base/errors.ts';
import type { Steps } from '../base/turns.ts';
import { HashPartitioner, type Partitioner } from '../rdd/partitioner.ts';
import { RDD } from '../rdd/rdd.ts';
import { pushRows } from '../rdd/row-loops.ts';
import type { TaskContext } from '../rdd/task.ts';
import type { StatePartition } from '../state/state-partition.ts';
import type { ValueSchema } from '../state/state-schema.ts';
import { StateTable } from '../state/state-table.ts';
import type { Batch } from './batch.ts';
import type { DStreamGraph } from './graph.ts';
import { StreamNode } from './stream-node.ts';

/** How the user names an operator that a restart must find again. */
export interface UidOption {
  /** Identity across restarts and code changes. Default: derived from operator kind and position, and reported at start. */
  readonly uid?: string | undefined;
}

export interface StatefulOptions extends UidOption {
  /** Partitions of the state. Default: the context's `defaultParallelism`. May differ from start to start. */
  readonly numPartitions?: number | undefined;
  /** Which partition a key belongs to, instead of its hash. Must always decide the same. */
  readonly partitioner?: Partitioner | undefined;
}

/** What an operator's stored state depends on, beside the program's functions. */
export type StateParameters = Readonly<Record<string, number>>;

interface StatefulNodeFields {
  readonly graph: DStreamGraph;
  readonly operator: string;
  readonly uid: string;
  readonly parent: StreamNode<unknown>;
  readonly slideMs: number;
  readonly table: StateTable;
  readonly parameters: StateParameters;
  /** False: the program may also run without a checkpoint, as Spark's plain windows do. Default true. */
  readonly mustCheckpoint?: boolean | undefined;
}

/**
 * A stream that keeps state from batch to batch. In every batch its state is advanced once, whether or not the stream
 * has an RDD at that time (a window absorbs the batches between two slides) and whether or not an output reads all of it.
 */
export abstract class StatefulNode<T> extends StreamNode<T> {
  readonly uid: string;
  readonly table: StateTable;
  readonly mustCheckpoint: boolean;
  #parameters: StateParameters;

  constructor(fields: StatefulNodeFields) {
    super(fields.graph, fields.operator, [fields.parent], fields.slideMs);
    this.uid = fields.uid;
    this.table = fields.table;
    this.#parameters = fields.parameters;
    this.mustCheckpoint = fields.mustCheckpoint ?? true;
    fields.graph.stateful.push(this as StatefulNode<unknown>);
  }

  /** True: no output reads it, and it runs whenever an output needs its parent. */
  get followsParent(): boolean {
    return false;
  }

  get parameters(): StateParameters {
    return this.#parameters;
  }

  /**
   * What to change when this operator can't go on from state it has stored with other parameters; undefined: it can.
   * The default takes equal parameters only.
   */
  misfit(stored: StateParameters): string | undefined {
    const names = new Set([...Object.keys(stored), ...Object.keys(this.#parameters)]);
    const changed = [...names].filter((name) => stored[name] !== this.#parameters[name]);
    if (changed.length === 0) return undefined;
    return `define it with ${changed.map((name) => `${name}=${stored[name]}`).join(' ')} again`;
  }

  /** Goes on with state that fits. Called before the parameters are recorded and the first batch runs, perhaps more than once. */
  adopt(_stored: StateParameters): void {}

  /** For `adopt`: what the state keeps of the parameters it was begun with. */
  protected setParameters(parameters: StateParameters): void {
    this.#parameters = parameters;
  }

  /**
   * True: partition p of its stream follows from partition p of its state and of what comes in, and from nothing else in the
   * state. So worker threads can hold the partitions, each some of them.
   */
  get isDivisible(): boolean {
    return true;
  }

  /** The RDD whose tasks advance the state: every partition must be computed in every batch. Generated once. */
  abstract advance(batch: Batch): RDD<unknown> | undefined;

  /** True: its batches read no other keys than those of their rows, so that they need not wait for all the state after a start. */
  get restoresLazily(): boolean {
    return false;
  }

  /** Keys last touched before this time have been dealt with when `batch` commits. */
  timeoutThresholdMs(_batch: Batch): number {
    return Number.NEGATIVE_INFINITY;
  }
}

/**
 * Rows of one partition in, rows out, with the state of that partition at hand. State never waits for I/O; other work may
 * run between two steps, and an attempt may be left there for good.
 */
export type StateStep<In, Out> = (state: StatePartition, rows: readonly In[], partition: number) => Steps<Out[]>;

interface StateRDDFields<In, Out> {
  readonly parent: RDD<In>;
  readonly node: StatefulNode<unknown>;
  readonly batch: Batch;
  /** Rows out have the keys of the rows in. */
  readonly keepsKeys: boolean;
  readonly step: StateStep<In, Out>;
}

/**
 * Runs a step once per partition and batch, however often its rows are read, and anew for each attempt of a task.
 *
 * Invariant
 *   S1. An attempt that fails, or is left because the job was stopped, leaves no trace: rows are kept when all is sealed,
 *       and the next attempt begins with an empty overlay.
 */
export class StateRDD<In, Out> extends RDD<Out> {
  readonly numPartitions: number;
  readonly dependencies: readonly RDD<In>[];
  /** The state it reads is where its partition is at home. */
  override readonly isAtHome = true;
  override readonly timesItself = true;
  readonly #fields: StateRDDFields<In, Out>;
  readonly #rows: (Promise<readonly Out[]> | undefined)[] = [];

  constructor(fields: StateRDDFields<In, Out>) {
    const { parent, node, keepsKeys } = fields;
    super(parent.context, node.operator, keepsKeys ? parent.partitioner : undefined);
    this.numPartitions = parent.numPartitions;
    this.dependencies = [parent];
    this.#fields = fields;
  }

  override async pipe(partition: number, task: TaskContext, push: (row: Out) => void): Promise<void> {
    this.#rows[partition] ??= this.#advance(partition, task).catch((error) => {
      this.#rows[partition] = undefined;
      throw error;
    });
    const rows = await this.#rows[partition];
    await pushRows(rows, push, task);
  }

  async #advance(partition: number, task: TaskContext): Promise<readonly Out[]> {
    const { parent, node, step } = this.#fields;
    const { turns } = this.context;
    const state = node.table.partition(partition);
    state.begin();
    const input: In[] = [];
    await parent.pipe(partition, task, (row) => {
      input.push(row);
    });
    if (!node.table.isLoaded) await node.table.ensureLoaded(node.restoresLazily ? keysOf(input) : undefined);
    try {
      const rows = await turns.run(step(state, input, partition), task.signal, (ms) => task.watch?.took(this, ms));
      // Sealed before anyone sees the rows: what is done to them later cannot reach the state.
      await turns.run(state.sealSteps(), task.signal);
      return rows;
    } catch (error) {
      throw ofOperator(node, error);
    }
  }
}

/** Of the rows of an operator that restores lazily: pairs. */
function keysOf(rows: readonly unknown[]): unknown[] {
  return (rows as readonly (readonly [unknown, unknown])[]).map(([key]) => key);
}

/** What can't be stored says where it was to be stored. */
function ofOperator({ uid, operator }: StatefulNode<unknown>, error: unknown): unknown {
  if (!(error instanceof TidemarkError)) return error;
  if (error.code !== 'VALUE_UNSUPPORTED' && error.code !== 'KEY_UNSUPPORTED') return error;
  return new TidemarkError(error.code, `State of operator '${uid}' (${operator}): ${error.message}`, {
    cause: error,
    context: { ...error.context, uid },
  });
}

/** @throws GRAPH_INVALID when a window's length or slide does not fit its parent. */
export function requireMultiple(operator: string, field: string, ms: number, parentSlideMs: number): void {
  if (Number.isSafeInteger(ms) && ms > 0 && ms % parentSlideMs === 0) return;
  throw new TidemarkError(
    'GRAPH_INVALID',
    `${operator}: the ${field} of ${ms} ms must be a positive multiple of the parent stream's slide of ${parentSlideMs} ms.`,
  );
}

/** @throws OPTION_INVALID */
export function statePartitioner(graph: DStreamGraph, operator: string, options: StatefulOptions): Partitioner {
  const { numPartitions, partitioner } = options;
  if (partitioner === undefined) return new HashPartitioner(numPartitions ?? graph.defaultParallelism);
  if (numPartitions === undefined || numPartitions === partitioner.numPartitions) return partitioner;
  throw new TidemarkError(
    'OPTION_INVALID',
    `${operator}: numPartitions is ${numPartitions}, and the partitioner has ${partitioner.numPartitions}. Give one of them.`,
  );
}

/** A table whose keys lie where the partitioner puts them, also after a restore. */
export function keyedTable(schema: ValueSchema, partitioner: Partitioner): StateTable {
  return new StateTable({
    uid: schema.uid,
    schema,
    numPartitions: partitioner.numPartitions,
    // The hash of a stored key is known without decoding it.
    partitionOf: partitioner instanceof HashPartitioner ? undefined : (key) => partitioner.partition(key),
  });
}
