import type { SinkProgress, SinkTransaction, TransactionalSink } from '../../sinks/sink.ts';
import { SimulatedTable } from './simulated-table.ts';
import type { RowsWritten } from './written-ledger.ts';

/**
 * A sink at a database with serializable transactions: one that somebody has come between is run again. Of the rows it
 * protects nothing by itself, so that what the engine makes of the progress is all there is.
 */
export class SimulatedTransactions<T, R> extends SimulatedTable<T> implements TransactionalSink<R> {
  readonly sinkClass = 'transactional';

  readonly transaction = async (work: (tx: SinkTransaction<R>) => Promise<void>): Promise<void> => {
    const { written } = this;
    for (;;) {
      const version = await this.driver.network(() => written.version(this.output));
      const writes: RowsWritten[] = [];
      let progress: SinkProgress | undefined;
      await work({
        readProgress: () => this.driver.network(() => written.progress(this.output)),
        write: async (rows, batch) => {
          writes.push({ ...batch, rows: [...rows] });
        },
        writeProgress: async (_, given) => {
          progress = given;
        },
      });
      const isCommitted = await this.driver.remote(() => {
        if (written.version(this.output) !== version) return false;
        written.transacted(this.output, writes, progress);
        return true;
      });
      if (isCommitted) return;
    }
  };
}
