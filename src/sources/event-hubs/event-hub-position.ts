import { inspect } from 'node:util';
import { TidemarkError } from '../../base/errors.ts';
import type { StartingPosition } from './event-hub-options.ts';
import type { HubProperties, PartitionProperties } from './hub-connection.ts';

/** Where the next batch starts reading, as the checkpoint stores it. */
export interface EventHubPosition {
  /** Of the hub, ms: the numbers below mean nothing in a hub that was created anew. 0: not known, they were imported. */
  readonly createdOn: number;
  /** By partition id: the next sequence number. */
  readonly partitions: Readonly<Record<string, number>>;
}

/**
 * The events of one partition in one batch: sequence numbers `from` to `to`, exclusive, all of them. A range never spans
 * a hole: when `from` is higher than the position of the batch before, what lies between was reported lost and skipped.
 */
export interface EventHubRange {
  readonly partitionId: string;
  readonly from: number;
  readonly to: number;
}

export interface LostRange {
  readonly partitionId: string;
  readonly from: number;
  readonly to: number;
}

/** Where one partition begins after a start. */
export interface PartitionStart {
  readonly partitionId: string;
  /** Planning position. A moment must be looked up by reading one event. */
  readonly next: number | { readonly enqueuedTimeMs: number };
  /** First sequence number to ask for: `next`, or higher when events between are lost. */
  readonly earliest: number;
  readonly lastEnqueued: number;
  /** Nothing was promised yet: if the first event is later than `from`, that is where the stream begins. */
  readonly floating: boolean;
}

export interface ResolvedStart {
  readonly partitions: readonly PartitionStart[];
  readonly lost: readonly LostRange[];
  /** Partitions that were not there when the position was recorded. */
  readonly added: readonly string[];
}

/** First sequence number that can be read now or later. */
export function earliestOf(partition: PartitionProperties): number {
  return partition.isEmpty || partition.beginSequenceNumber < 0
    ? partition.lastSequenceNumber + 1
    : partition.beginSequenceNumber;
}

/**
 * Where to begin in every partition, recorded positions first, then what the options say.
 * @throws SOURCE_RECREATED, OPTION_INVALID. Expired events are returned as `lost`: the policy decides about them.
 */
export function resolveStart(
  hub: { readonly name: string; readonly properties: HubProperties },
  partitions: readonly PartitionProperties[],
  recorded: EventHubPosition | undefined,
  startingPositionOf: (partitionId: string) => StartingPosition,
): ResolvedStart {
  if (recorded) checkSameHub(hub, partitions, recorded);
  const lost: LostRange[] = [];
  const added: string[] = [];
  const starts = partitions.map((partition): PartitionStart => {
    const { partitionId, lastSequenceNumber: lastEnqueued } = partition;
    const earliest = earliestOf(partition);
    const next = recorded?.partitions[partitionId];
    if (next !== undefined) {
      if (earliest > next) lost.push({ partitionId, from: next, to: earliest });
      return { partitionId, next, earliest, lastEnqueued, floating: false };
    }
    if (recorded) {
      added.push(partitionId);
      return { partitionId, next: earliest, earliest, lastEnqueued, floating: true };
    }
    const position = startingPositionOf(partitionId);
    if (position === 'earliest') return { partitionId, next: earliest, earliest, lastEnqueued, floating: true };
    if (position === 'latest') return { partitionId, next: lastEnqueued + 1, earliest, lastEnqueued, floating: false };
    if ('sequenceNumber' in position) {
      const from = position.isInclusive ? position.sequenceNumber : position.sequenceNumber + 1;
      if (from > lastEnqueued + 1) {
        throw new TidemarkError(
          'OPTION_INVALID',
          `startingPosition of partition ${partitionId} is sequence number ${position.sequenceNumber}, but event hub '${hub.name}' has written only up to ${lastEnqueued} there. Use 'latest', or a number up to that.`,
        );
      }
      if (earliest > from) lost.push({ partitionId, from, to: earliest });
      return { partitionId, next: from, earliest, lastEnqueued, floating: false };
    }
    const enqueuedTimeMs = Number(position.enqueuedTime);
    const nothingLater = partition.isEmpty || lastEnqueued < 0 || partition.lastEnqueuedTimeMs <= enqueuedTimeMs;
    const after = nothingLater ? lastEnqueued + 1 : { enqueuedTimeMs };
    return { partitionId, next: after, earliest, lastEnqueued, floating: true };
  });
  return { partitions: starts, lost, added };
}

/** @throws SOURCE_RECREATED */
export function checkSameHub(
  hub: { readonly name: string; readonly properties: HubProperties },
  partitions: readonly PartitionProperties[],
  recorded: EventHubPosition,
): void {
  const { createdOn, partitionIds } = hub.properties;
  if (recorded.createdOn !== 0 && createdOn !== recorded.createdOn) {
    throw recreated(
      hub.name,
      `it was created at ${isoTime(createdOn)}, the recorded positions belong to one created at ${isoTime(recorded.createdOn)}`,
    );
  }
  const gone = Object.keys(recorded.partitions).filter((id) => !partitionIds.includes(id));
  if (gone.length > 0) {
    throw recreated(
      hub.name,
      `it has ${partitionIds.length} partitions, the recorded partitions ${gone.join(', ')} are gone`,
    );
  }
  for (const { partitionId, lastSequenceNumber } of partitions) {
    const next = recorded.partitions[partitionId];
    if (next !== undefined && lastSequenceNumber < next - 1) {
      throw recreated(
        hub.name,
        `partition ${partitionId} has written up to sequence number ${lastSequenceNumber}, but ${next - 1} was already read from it`,
      );
    }
  }
}

export function recreated(hubName: string, evidence: string): TidemarkError {
  return new TidemarkError(
    'SOURCE_RECREATED',
    `Event hub '${hubName}' is not the one this stream was reading: ${evidence}. Recorded positions mean nothing in it. Start a new stream with another checkpoint URL, or restore the hub.`,
    { context: { hub: hubName } },
  );
}

export function dataLoss(hubName: string, lost: readonly LostRange[]): TidemarkError {
  const ranges = lost.map(
    ({ partitionId, from, to }) =>
      `partition ${partitionId}: ${to - from} events, sequence numbers ${from} to ${to - 1}`,
  );
  return new TidemarkError(
    'DATA_LOSS',
    `Event hub '${hubName}' no longer has events that this stream has not processed (${ranges.join('; ')}); they expired or were removed. Set onDataLoss: 'skip' to go on after them, and check the retention time of the hub.`,
    { context: { hub: hubName, lost } },
  );
}

/** @throws CHECKPOINT_INCOMPATIBLE when the value is not a position of this source. */
export function parsePosition(value: unknown): EventHubPosition {
  const { createdOn, partitions } = (value ?? {}) as Partial<EventHubPosition>;
  const valid =
    Number.isSafeInteger(createdOn) &&
    typeof partitions === 'object' &&
    partitions !== null &&
    Object.values(partitions).every((next) => Number.isSafeInteger(next) && next >= 0);
  if (!valid) throw unreadable('position', value);
  return value as EventHubPosition;
}

/** @throws CHECKPOINT_INCOMPATIBLE when the value is not a range of this source. */
export function parseRange(value: unknown): EventHubRange {
  const { partitionId, from, to } = (value ?? {}) as Partial<EventHubRange>;
  const valid =
    typeof partitionId === 'string' &&
    Number.isSafeInteger(from) &&
    Number.isSafeInteger(to) &&
    from! >= 0 &&
    to! >= from!;
  if (!valid) throw unreadable('range', value);
  return value as EventHubRange;
}

function unreadable(what: string, value: unknown): TidemarkError {
  return new TidemarkError(
    'CHECKPOINT_INCOMPATIBLE',
    `The recorded ${what} ${inspect(value, { depth: 2, breakLength: Number.POSITIVE_INFINITY }).slice(0, 200)} is not one of an Event Hubs source. Was the input of this uid another kind of source before?`,
  );
}

function isoTime(ms: number): string {
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? String(ms) : time.toISOString();
}
