import type { RDD } from '../rdd/rdd.ts';
import type { Batch } from './batch.ts';
import type { DStreamGraph } from './graph.ts';

/**
 * A node of the graph behind a DStream: how the RDD of one batch follows from those of its parents.
 *
 * Nodes know nothing of the DStream methods that make them, so each kind stands in a file of its own.
 */
export abstract class StreamNode<out T> {
  readonly graph: DStreamGraph;
  /** Order of definition in the graph, from 0. */
  readonly id: number;
  /** Name of the operator, as in the method that made it. */
  readonly operator: string;
  readonly parents: readonly StreamNode<unknown>[];
  /** This stream has an RDD every so many milliseconds; a multiple of the batch interval. */
  readonly slideMs: number;
  /** What the user calls the stream, for people. */
  label: string | undefined;
  #isPersisted = false;

  constructor(graph: DStreamGraph, operator: string, parents: readonly StreamNode<unknown>[], slideMs: number) {
    this.graph = graph;
    this.operator = operator;
    this.parents = parents;
    this.slideMs = slideMs;
    this.id = graph.add(this);
  }

  protected abstract compute(batch: Batch): RDD<T> | undefined;

  /** The RDD of this batch, generated once; undefined when the stream has none at this time (it slides in larger steps). */
  rdd(batch: Batch): RDD<T> | undefined {
    if (!batch.isValidFor(this.slideMs)) return undefined;
    return batch.once(this, () => {
      const compute = (): RDD<T> | undefined => this.compute(batch);
      const rdd = this.#owning(batch, () =>
        batch.placement === undefined ? compute() : batch.placement.generate(this, compute),
      );
      return this.#isPersisted || batch.isRemembered ? rdd?.persist() : rdd;
    });
  }

  /** RDDs that are made meanwhile know whose they are. */
  #owning<R>(batch: Batch, generate: () => R): R {
    const { rdds, batchId, timeMs: batchTimeMs } = batch;
    const outer = rdds.origin;
    const { operator, id: streamId, label } = this;
    const uid = 'uid' in this && typeof this.uid === 'string' ? this.uid : undefined;
    rdds.origin = { operator, streamId, uid, label, batchId, batchTimeMs };
    try {
      return generate();
    } finally {
      rdds.origin = outer;
    }
  }

  /** Every batch's RDD keeps its rows when they are first computed, and loses them with the batch. */
  persist(): void {
    this.#isPersisted = true;
  }

  get isPersisted(): boolean {
    return this.#isPersisted;
  }
}
