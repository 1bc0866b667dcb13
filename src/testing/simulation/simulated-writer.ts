import type { IdempotentSink, SinkPartition } from '../../sinks/sink.ts';
import { SimulatedTable } from './simulated-table.ts';

/** A sink that writes rows under keys of their own, at another place where the history watches it. */
export class SimulatedWriter<T, R> extends SimulatedTable<T> implements IdempotentSink<R> {
  readonly sinkClass = 'idempotent';

  readonly write = async (rows: readonly R[], { partition, ...batch }: SinkPartition): Promise<void> => {
    const { written } = this;
    const copy = [...rows];
    await this.driver.remote(() => written.wrote(this.output, partition, { ...batch, rows: copy }));
  };
}
