import type { RewindInfo, SinkBatch, SinkOpening, StagedSink } from '../../sinks/sink.ts';
import type { SimulatedDriver } from './driver.ts';
import { markOf, parseMark } from './marks.ts';

/** A staged sink whose every step takes a moment at another place, where the history watches it. */
export class SimulatedSink<T, R> implements StagedSink<R> {
  readonly sinkClass = 'staged';
  readonly kind = 'simulated';
  readonly guarantee = 'exactly once';
  readonly description: string;
  readonly #driver: SimulatedDriver<T>;
  readonly #output: string;
  #epoch = 0;

  constructor(driver: SimulatedDriver<T>, output: string) {
    this.#driver = driver;
    this.#output = output;
    this.description = `simulated ${output}`;
  }

  async open({ epoch }: SinkOpening): Promise<void> {
    this.#epoch = epoch;
    await this.#driver.network(() => this.#driver.simulation.history.written.opened(this.#output));
  }

  onRewind(rewind: RewindInfo): Promise<void> {
    return this.#driver.network(() => this.#driver.simulation.history.written.rewound(this.#output, rewind));
  }

  readonly stage = (batch: SinkBatch, partitions: readonly (readonly R[])[]): Promise<unknown> => {
    const { history } = this.#driver.simulation;
    const rows = partitions.map((part) => [...part]);
    const driver = this.#driver.process.id;
    const staged = { output: this.#output, driver, batchId: batch.batchId, timeMs: batch.batchTimeMs, rows };
    return this.#driver.network(() => ({ mark: markOf('out', history.outputs.stage(staged)) }));
  };

  publish(handle: unknown): Promise<void> {
    const { history } = this.#driver.simulation;
    return this.#driver.network(() =>
      history.outputs.published(parseMark('out', (handle as { mark: string }).mark), this.#epoch),
    );
  }

  sweep(): Promise<void> {
    const { history } = this.#driver.simulation;
    return this.#driver.network(() =>
      history.outputs.swept(this.#output, (driver) => (history.epochOf(driver) ?? this.#epoch) < this.#epoch),
    );
  }

  async close(): Promise<void> {}
}
