import type { IdempotentSink, RewindInfo, SinkPartition } from '../../sinks/sink.ts';
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

  open(): Promise<void> {
    return this.#driver.network(() => this.#driver.simulation.history.written.opened(this.#output));
  }

  readonly write = async (rows: readonly R[], { partition, ...batch }: SinkPartition): Promise<void> => {
    const { written } = this.#driver.simulation.history;
    const copy = [...rows];
    await this.#driver.remote(() => written.wrote(this.#output, partition, { ...batch, rows: copy }));
  };

  onRewind(rewind: RewindInfo): Promise<void> {
    return this.#driver.remote(() => this.#driver.simulation.history.written.rewound(this.#output, rewind));
  }
}
