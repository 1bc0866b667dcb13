import { RDD } from '../rdd/rdd.ts';
import type { RddContext } from '../rdd/rdd-context.ts';
import { pushRows } from '../rdd/row-loops.ts';
import type { TaskContext } from '../rdd/task.ts';
import { isDivisible, type PushChunk, type Source, type SourcePlan } from '../sources/source.ts';
import type { Batch } from './batch.ts';
import type { DStreamGraph } from './graph.ts';
import { StreamNode } from './stream-node.ts';

/** The rows of a source, batch by batch as planned. */
export class SourceNode<T> extends StreamNode<T> {
  readonly uid: string;
  readonly source: Source<T>;

  constructor(graph: DStreamGraph, source: Source<T>, uid: string | undefined) {
    const assigned = graph.assignUid(source.kind, uid);
    super(graph, source.kind, [], graph.batchIntervalMs);
    this.uid = assigned;
    this.source = source;
    graph.addSource(this);
  }

  protected override compute(batch: Batch): RDD<T> | undefined {
    const plan = batch.plans.get(this.uid);
    // A source younger than the recorded plan of this batch.
    if (plan === undefined) return batch.rdds.emptyRDD<T>();
    if (plan.isAbsent) return undefined;
    const read = batch.placement?.readSource?.(this.uid) as SourceRead<T> | undefined;
    return new SourceRDD<T>(
      batch.rdds,
      this.source,
      plan,
      read ?? ((partition, push) => this.source.read(plan, partition, push)),
    );
  }
}

type SourceRead<T> = (partition: number, push: PushChunk<T>) => Promise<void>;

/** One RDD partition per range of the plan. */
class SourceRDD<T> extends RDD<T> {
  readonly numPartitions: number;
  readonly dependencies = [];
  override readonly isAtHome: boolean;
  readonly #read: SourceRead<T>;

  constructor(context: RddContext, source: Source<T>, plan: SourcePlan, read: SourceRead<T>) {
    super(context, source.kind);
    this.isAtHome = isDivisible(source);
    this.numPartitions = plan.partitions.length;
    this.#read = read;
  }

  override async pipe(partition: number, task: TaskContext, push: (row: T) => void): Promise<void> {
    let paused: Promise<void> | undefined;
    await this.#read(partition, (chunk) => {
      if (paused === undefined) {
        const done = pushRows(chunk, push, task);
        if (done === undefined) return;
        const rest = done.then(() => {
          if (paused === rest) paused = undefined;
        });
        paused = rest;
      } else {
        // A source that does not wait: its rows keep their order all the same.
        const rows = chunk.slice();
        paused = paused.then(() => pushRows(rows, push, task));
      }
      // Whoever awaits it hears of an error, and so do we.
      paused.catch(() => {});
      return paused;
    });
    await paused;
  }
}
