import { TidemarkError, toError } from '../base/errors.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { Batch } from './batch.ts';
import { StreamNode } from './stream-node.ts';

/**
 * A stream whose RDD follows from the RDDs of its parents in the same batch alone.
 *
 * A parent may have no RDD in a batch, which is not the same as an empty one: then this stream has none either, unless
 * it `needsAll`, as everything that combines streams or hands their RDDs to a function does in Spark.
 */
export class PerBatchNode<T> extends StreamNode<T> {
  readonly #build: (rdds: readonly RDD<unknown>[], batch: Batch) => RDD<T>;
  readonly #needsAll: boolean;

  /** Parents must share one graph and one slide. @throws GRAPH_INVALID */
  constructor(
    operator: string,
    parents: readonly StreamNode<unknown>[],
    build: (rdds: readonly RDD<unknown>[], batch: Batch) => RDD<T>,
    needsAll = false,
  ) {
    const first = parents[0];
    if (first === undefined) throw new TidemarkError('GRAPH_INVALID', `${operator}: give at least one stream.`);
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
    this.#needsAll = needsAll;
  }

  protected override compute(batch: Batch): RDD<T> | undefined {
    const rdds: RDD<unknown>[] = [];
    for (const parent of this.parents) {
      const rdd = parent.rdd(batch);
      if (rdd === undefined) {
        if (!this.#needsAll) return undefined;
        throw new TidemarkError(
          'GRAPH_INVALID',
          `${this.operator}: could not generate an RDD from the parent '${parent.operator}' at ${batch.time}: the ` +
            'source yielded no data set for this batch. Let it yield an empty one.',
        );
      }
      rdds.push(rdd);
    }
    try {
      const { watch, origin } = batch.rdds;
      if (watch === undefined) return this.#build(rdds, batch);
      return watch.call({ name: this.operator, origin }, undefined, () => this.#build(rdds, batch));
    } catch (error) {
      if (error instanceof TidemarkError) throw error;
      throw new TidemarkError(
        'TASK_FAILED',
        `The function of ${this.operator} failed in batch ${batch.batchId} (${batch.time}): ${toError(error).message}. ` +
          'The batch is not committed; the next start runs it again with the same records.',
        { cause: error, context: { operator: this.operator, batchId: batch.batchId, batchTimeMs: batch.timeMs } },
      );
    }
  }
}
