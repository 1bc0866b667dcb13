import { TidemarkError } from '../base/errors.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { Batch } from './batch.ts';
import { StreamNode } from './stream-node.ts';

/** A stream whose RDD follows from the RDDs of its parents in the same batch alone. */
export class PerBatchNode<T> extends StreamNode<T> {
  readonly #build: (rdds: readonly RDD<unknown>[], batch: Batch) => RDD<T>;

  /** Parents must share one graph and one slide. @throws GRAPH_INVALID */
  constructor(
    operator: string,
    parents: readonly StreamNode<unknown>[],
    build: (rdds: readonly RDD<unknown>[], batch: Batch) => RDD<T>,
  ) {
    const first = parents[0]!;
    for (const parent of parents) {
      if (parent.graph !== first.graph) {
        throw new TidemarkError('GRAPH_INVALID', `${operator}: the streams have different contexts.`);
      }
      if (parent.slideMs !== first.slideMs) {
        throw new TidemarkError(
          'GRAPH_INVALID',
          `${operator}: the streams have different slide durations, ${first.slideMs} ms and ${parent.slideMs} ms.`,
        );
      }
    }
    super(first.graph, operator, parents, first.slideMs);
    this.#build = build;
  }

  protected override compute(batch: Batch): RDD<T> | undefined {
    const rdds: RDD<unknown>[] = [];
    for (const parent of this.parents) {
      const rdd = parent.rdd(batch);
      if (rdd === undefined) return undefined;
      rdds.push(rdd);
    }
    return this.#build(rdds, batch);
  }
}
