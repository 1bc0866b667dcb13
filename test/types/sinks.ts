/** Checked by the compiler only: a sink is known by its class, and takes the rows it says. */
import type { DStream } from '../../src/dstream/dstream.ts';
import { blobSink } from '../../src/sinks/blob-sink.ts';
import { outboxSink } from '../../src/sinks/outbox-sink.ts';
import type { IdempotentSink, Sink, SinkClass, StagedSink, TransactionalSink } from '../../src/sinks/sink.ts';

interface Reading {
  readonly device: string;
}
interface Alarm extends Reading {
  readonly since: number;
}

export function knowsTheClass(sink: Sink<Reading>): string {
  const classes: Readonly<Record<SinkClass, string>> = {
    idempotent: 'A',
    transactional: 'B',
    staged: 'C',
    outbox: 'D',
  };
  // Only a staged sink makes a promise of its own: that of the others follows from the class.
  return sink.sinkClass === 'staged' ? sink.guarantee : classes[sink.sinkClass];
}

export function takesTheRowsItSays(
  readings: DStream<Reading>,
  alarms: DStream<Alarm>,
  table: IdempotentSink<Reading>,
  ledger: TransactionalSink<Alarm>,
): void {
  readings.saveTo(table);
  alarms.saveTo(table);
  alarms.saveTo(ledger);
  // @ts-expect-error a reading has no `since`
  readings.saveTo(ledger);
  readings.saveTo(outboxSink<Reading>());
  alarms.saveTo(outboxSink());
  // @ts-expect-error a reading is no alarm
  readings.saveTo(outboxSink<Alarm>());
  const files: StagedSink<unknown> = blobSink({ url: 'memory:' });
  readings.saveTo(files);
  // @ts-expect-error an idempotent sink writes, it does not publish
  readings.saveTo({ sinkClass: 'idempotent', kind: 'k', description: 'd', publish: async () => {} });
  // @ts-expect-error a sink names its class
  readings.saveTo({ kind: 'k', description: 'd', write: async () => {} });
}
