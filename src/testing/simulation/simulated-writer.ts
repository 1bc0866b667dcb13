import type { IdempotentSink, SinkPartition } from '../../sinks/sink.ts';
import type { SimulatedDriver } from './driver.ts';

/** A sink that writes rows under keys of their own, at another place where the history watches it. */
export class SimulatedWriter<T, R> implements IdempotentSink<R> {
  readonly sinkClass = 'idempotent';
  readonly kind = 'simulated';
  readonly description: string;
  readonly #driver: SimulatedDriver<T>;
  readonly #output: string;

  constructor(driver: SimulatedDriver<T>, output: string) {
    this.#driver = driver;
    this.#output = output;
    this.description = `simulated ${output}`;
  }

  readonly write = (rows: readonly R[], { batchId, partition }: SinkPartition): Promise<void> => {
    const { history } = this.#driver.simulation;
    const copy = [...rows];
    return this.#driver.network(() => {
      history.outputs.wrote(this.#output, { batchId, partition, rows: copy, isCommitted: history.hasBatch(batchId) });
    });
  };
}
