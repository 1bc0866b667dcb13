import type { RewindInfo, SinkProgress, SinkTransaction, TransactionalSink } from '../../sinks/sink.ts';
import type { SimulatedDriver } from './driver.ts';
import type { RowsWritten } from './written-ledger.ts';

/**
 * A sink at a database with serializable transactions: one that somebody has come between is run again. Of the rows it
 * protects nothing by itself, so that what the engine makes of the progress is all there is.
 */
export class SimulatedTransactions<T, R> implements TransactionalSink<R> {
  readonly sinkClass = 'transactional';
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

  readonly transaction = async (work: (tx: SinkTransaction<R>) => Promise<void>): Promise<void> => {
    const { written } = this.#driver.simulation.history;
    for (;;) {
      const version = await this.#driver.network(() => written.version(this.#output));
      const writes: RowsWritten[] = [];
      let progress: SinkProgress | undefined;
      await work({
        readProgress: () => this.#driver.network(() => written.progress(this.#output)),
        write: async (rows, batch) => {
          writes.push({ ...batch, rows: [...rows] });
        },
        writeProgress: async (_, given) => {
          progress = given;
        },
      });
      const isCommitted = await this.#driver.remote(() => {
        if (written.version(this.#output) !== version) return false;
        written.transacted(this.#output, writes, progress);
        return true;
      });
      if (isCommitted) return;
    }
  };

  onRewind(rewind: RewindInfo): Promise<void> {
    return this.#driver.remote(() => this.#driver.simulation.history.written.rewound(this.#output, rewind));
  }
}
