import type { OutboxSink } from './sink.ts';

/**
 * An output that other processes read from the checkpoint itself: its rows are part of the record that commits the batch.
 * Exactly once by construction, and the cheapest link from one stream to the next. `readOutbox` of `tidemark/checkpoint`
 * reads it. Needs a checkpoint. Rows are any plain data.
 */
export function outboxSink<T = unknown>(): OutboxSink<T> {
  return { sinkClass: 'outbox', kind: 'outbox', description: 'outbox' };
}
