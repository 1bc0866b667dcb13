import { conditions, Refusal } from './conditions.ts';
import type { PartitionLog } from './partition-log.ts';

const selector =
  /^\s*amqp\.annotation\.(x-opt-offset|x-opt-sequence-number|x-opt-enqueued-time(?:utc)?)\s*(>=|>)\s*'([^']*)'\s*$/;

/**
 * The first sequence number a reader with this selector filter gets. A position that expired is not an error: the reader
 * starts at the oldest event there is. A position the log has not reached is refused, as the service does.
 *
 * @throws Refusal
 */
export function resolveStart(filter: string | undefined, log: PartitionLog): number {
  if (filter === undefined) return log.begin;
  const match = selector.exec(filter);
  if (match === null) {
    throw new Refusal(conditions.argumentError, `The supplied selector '${filter}' is not supported.`);
  }
  const [, annotation, operator, value] = match as unknown as [string, string, string, string];
  const inclusive = operator === '>=';
  if (annotation === 'x-opt-offset') return fromOffset(value, inclusive, log);
  if (annotation === 'x-opt-sequence-number') return fromSequenceNumber(value, inclusive, log);
  const timeMs = Number(value);
  if (value === '' || !Number.isFinite(timeMs)) {
    throw new Refusal(conditions.argumentError, `The supplied enqueued time '${value}' is invalid.`);
  }
  return log.findTimeAfter(timeMs);
}

function fromOffset(value: string, inclusive: boolean, log: PartitionLog): number {
  if (value === '-1') return log.begin;
  if (value === '@latest') return inclusive ? Math.max(log.begin, log.next - 1) : log.next;
  const offset = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!(offset <= log.lastOffset)) throw invalidPosition('offset', value, log.lastOffset);
  return log.findOffset(offset, inclusive);
}

function fromSequenceNumber(value: string, inclusive: boolean, log: PartitionLog): number {
  const sequenceNumber = /^-?\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  const last = log.next - 1;
  if (!(sequenceNumber <= last)) throw invalidPosition('sequence number', value, last);
  return Math.max(log.begin, inclusive ? sequenceNumber : sequenceNumber + 1);
}

function invalidPosition(kind: string, value: string, last: number): Refusal {
  return new Refusal(
    conditions.argumentError,
    `The supplied ${kind} '${value}' is invalid. The last ${kind} in the system is '${last}'`,
  );
}
