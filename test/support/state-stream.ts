import { Duration } from '../../src/base/time.ts';
import { Turns, type TurnsOptions } from '../../src/base/turns.ts';
import type { OperatorDelta, StateExtent } from '../../src/checkpoint/records.ts';
import { Batch } from '../../src/dstream/batch.ts';
import { DStreamGraph } from '../../src/dstream/graph.ts';
import { StreamNode } from '../../src/dstream/stream-node.ts';
import { stateExtents } from '../../src/execution/manifests.ts';
import { advanceState, mergeState, type StateDriver, sealState } from '../../src/execution/state-batch.ts';
import { InProcessRunner } from '../../src/rdd/in-process-runner.ts';
import type { RDD } from '../../src/rdd/rdd.ts';
import { RddContext } from '../../src/rdd/rdd-context.ts';

export const second: Duration = new Duration(1000);

/** A stream of the rows it is given, batch by batch. */
export class RowsNode<T> extends StreamNode<T> {
  rows: readonly T[] = [];

  protected override compute(batch: Batch): RDD<T> {
    return batch.rdds.parallelize(this.rows, 4);
  }
}

interface StateStreamOptions {
  readonly partitions: number;
  readonly turns?: TurnsOptions | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Stateful operators over given rows, driven as the engine drives them: state is advanced, sealed and merged by its own
 * functions, without a log, sources or a clock.
 */
export class StateStream<T> {
  readonly graph: DStreamGraph;
  readonly source: RowsNode<T>;
  readonly rdds: RddContext;
  #batchId = 1;

  constructor({ partitions, turns: turnsOptions, signal }: StateStreamOptions) {
    const noFiles = (): never => {
      throw new Error('no files here');
    };
    this.graph = new DStreamGraph(second.milliseconds, partitions, () => {}, noFiles);
    this.source = new RowsNode<T>(this.graph, 'rows', [], second.milliseconds);
    const turns = new Turns(turnsOptions);
    const runner = new InProcessRunner({ turns, signal });
    this.rdds = new RddContext({ runner, turns, defaultParallelism: partitions });
  }

  get driver(): StateDriver {
    return { stateful: this.graph.stateful, rdds: this.rdds, workers: undefined, log: undefined };
  }

  get batchId(): number {
    return this.#batchId;
  }

  /** The rows through all operators, as one batch; `output` may read its RDDs before it is sealed. */
  async run(rows: readonly T[], output: (batch: Batch) => Promise<void> = async () => {}): Promise<OperatorDelta[]> {
    const batchId = this.#batchId + 1;
    this.source.rows = rows;
    const timeMs = batchId * second.milliseconds;
    const batch = new Batch({ batchId, timeMs, zeroTimeMs: 0, generation: 0, rdds: this.rdds, plans: new Map() });
    let deltas: OperatorDelta[];
    try {
      await advanceState(this.driver, batch, undefined);
      await output(batch);
      deltas = await sealState(this.driver, undefined);
    } catch (error) {
      for (const { table } of this.graph.stateful) table.discard();
      throw error;
    }
    await mergeState(this.driver);
    this.#batchId = batchId;
    return deltas;
  }

  /** What the next manifest holds. */
  async extents(alpha: number): Promise<StateExtent[]> {
    const due = new Map(this.graph.stateful.map(({ uid }) => [uid, 'delta']));
    return (await stateExtents(this.driver, due, alpha)) ?? [];
  }
}
