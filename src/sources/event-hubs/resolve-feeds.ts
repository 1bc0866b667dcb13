import type { Clock } from '../../base/clock.ts';
import { TidemarkError } from '../../base/errors.ts';
import type { EventHubSettings } from './event-hub-options.ts';
import { dataLoss, type EventHubPosition, type PartitionStart, resolveStart } from './event-hub-position.ts';
import type { FeedOpening, FeedStart } from './feeds.ts';
import type { HubCalls } from './hub-calls.ts';
import { type FailurePlace, type HubConnection, HubFailure, type PartitionProperties } from './hub-connection.ts';
import type { HubSession } from './hub-session.ts';

interface ResolveFields {
  readonly session: HubSession;
  readonly calls: HubCalls;
  readonly settings: EventHubSettings;
  readonly place: FailurePlace;
  readonly clock: Clock;
  readonly recorded: EventHubPosition | undefined;
  readonly epoch: number;
}

/**
 * Where every partition begins: asks the hub for its partitions, compares them with the recorded positions, and looks up
 * moments. Tells of new partitions.
 * @throws SOURCE_RECREATED, OPTION_INVALID, DATA_LOSS, and what the service refuses
 */
export async function resolveFeeds(fields: ResolveFields): Promise<FeedOpening> {
  const { session, calls, settings, place, recorded, epoch } = fields;
  const hub = await calls.retrying(async () => (await session.connection()).hubProperties());
  session.expectHub(hub.createdOn);
  checkNamedPartitions(settings.namedPartitions, place.hub, hub.partitionIds);
  const partitions = await calls.retrying(async () => readPartitions(await session.connection(), hub.partitionIds));
  const { lost, added, ...resolved } = resolveStart(
    { name: place.hub, properties: hub },
    partitions,
    recorded,
    settings.startingPositionOf,
  );
  if (lost.length > 0 && settings.onDataLoss === 'fail') throw dataLoss(place.hub, lost);
  const starts: FeedStart[] = [];
  for (const start of resolved.partitions) {
    const next = typeof start.next === 'number' ? start.next : await lookUp(fields, start, start.next);
    starts.push({ ...start, next });
  }
  for (const partitionId of added) {
    settings.onWarning({
      kind: 'partition_added',
      message: `Event hub '${place.hub}' has a new partition ${partitionId}; it is read from its first event.`,
      partitionId,
    });
  }
  return { createdOn: hub.createdOn, epoch, starts, lost };
}

/** The sequence number of the first event after a moment, learned by reading it. */
function lookUp(fields: ResolveFields, start: PartitionStart, after: { enqueuedTimeMs: number }): Promise<number> {
  const { session, calls, settings, clock, epoch } = fields;
  const { partitionId } = start;
  return calls.retrying(async () => {
    const connection = await session.connection();
    const over = new AbortController();
    const first = Promise.withResolvers<number>();
    const tooLate = clock.waitUntil(clock.now() + settings.retry.attemptTimeoutMs, over.signal).then(() => {
      throw new HubFailure('transient', `Partition ${partitionId} sent no event to look up its starting position.`);
    });
    const found = Promise.race([first.promise, tooLate]);
    found.catch(() => undefined);
    try {
      const link = await connection.openReceiver({
        partitionId,
        consumerGroup: settings.consumerGroup,
        after,
        epoch,
        onEvent: (event) => first.resolve(event.sequenceNumber),
        onClosed: (failure) => first.reject(failure),
      });
      link.addCredit(1);
      return await found.finally(() => link.close());
    } finally {
      over.abort();
    }
  }, partitionId);
}

function checkNamedPartitions(named: readonly string[], hub: string, ids: readonly string[]): void {
  const unknown = named.filter((id) => !ids.includes(id));
  if (unknown.length === 0) return;
  throw new TidemarkError(
    'OPTION_INVALID',
    `startingPosition names the partition ${unknown.map((id) => `'${id}'`).join(', ')}, but event hub '${hub}' has the partitions ${ids.join(', ')}.`,
  );
}

/** At most 16 requests at a time. */
async function readPartitions(connection: HubConnection, ids: readonly string[]): Promise<PartitionProperties[]> {
  const found: PartitionProperties[] = [];
  for (let i = 0; i < ids.length; i += 16) {
    found.push(...(await Promise.all(ids.slice(i, i + 16).map((id) => connection.partitionProperties(id)))));
  }
  return found;
}
