import { type Clock, SystemClock } from '../../base/clock.ts';
import { invariant, TidemarkError } from '../../base/errors.ts';
import { type Random, SystemRandom } from '../../base/random.ts';
import type { RateControlled, Source, SourcePlan, SourceStart } from '../source.ts';
import { Backoff } from './backoff.ts';
import { batchLimit, shareBatch } from './batch-shares.ts';
import type { EventHubEvent } from './event-hub-event.ts';
import { type EventHubOptions, type EventHubSettings, parseEventHubOptions } from './event-hub-options.ts';
import {
  dataLoss,
  type EventHubPosition,
  type PartitionStart,
  parsePosition,
  parseRange,
  resolveStart,
} from './event-hub-position.ts';
import {
  type FailurePlace,
  type HubConnection,
  HubFailure,
  type HubProperties,
  isWorthRetrying,
  type PartitionProperties,
  toTidemarkError,
} from './hub-connection.ts';
import { HubSession } from './hub-session.ts';
import { PartitionFeed } from './partition-feed.ts';

export interface EventHubSource extends Source<EventHubEvent>, RateControlled {
  start(start: EventHubStart): Promise<void>;
  plan(): Promise<SourcePlan>;
  /** By partition, in order of partition id. */
  statistics(): readonly PartitionStatistics[];
}

/** What this source needs of a start. */
export type EventHubStart = Pick<SourceStart, 'position' | 'epoch' | 'clock' | 'fail'> &
  // Only a rate needs it.
  Partial<Pick<SourceStart, 'batchIntervalMs'>>;

export interface PartitionStatistics {
  readonly partitionId: string;
  /** Events taken in since start, replays included. */
  readonly received: number;
  /** Events that came again after a reconnect and were dropped. */
  readonly duplicates: number;
  /** Events skipped by `onDataLoss: 'skip'`. */
  readonly lost: number;
  /** Events in memory now. */
  readonly buffered: number;
  /** Events the service may still send without being asked again. */
  readonly credit: number;
}

/** What the source takes from outside itself. Network waits run on a clock of their own: batch time may be simulated, sockets aren't. */
export interface EventHubEnvironment {
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly openConnection?: OpenConnection | undefined;
  /** False: every frame is read by rhea, which is slower and must come to the same. Default true. */
  readonly readDirectly?: boolean | undefined;
}

/** The signal aborts an attempt that takes too long for a stop. */
type OpenConnection = (settings: EventHubSettings, signal: AbortSignal) => Promise<HubConnection>;

/**
 * Events of an Event Hub, read directly: the checkpoint of the stream holds the position, no consumer-group store does.
 * @throws OPTION_INVALID
 */
export function eventHubSource(options: EventHubOptions, environment: EventHubEnvironment = {}): EventHubSource {
  return new DirectEventHubSource(parseEventHubOptions(options, environment.env ?? process.env), environment);
}

/**
 * Plans batches over the partitions of one hub and reads them.
 *
 * Owns the order of start and stop, the shares of a batch and the position. What happens inside a partition is its
 * PartitionFeed's; the connection is the HubSession's.
 *
 * Invariants
 *   S1. A plan contains only events that are here already, in the order and with the numbers the hub gave them.
 *   S2. Positions only grow. Plans follow each other without overlap, and without a gap that was not reported.
 *   S3. One failure ends all partitions: a batch without one of them would be wrong.
 */
class DirectEventHubSource implements EventHubSource {
  readonly kind = 'event-hubs';
  readonly identity: Readonly<Record<string, string>>;

  readonly #settings: EventHubSettings;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #openConnection: OpenConnection;
  readonly #place: FailurePlace;
  readonly #stopping = new AbortController();
  #status: 'new' | 'starting' | 'running' | 'stopped' = 'new';
  #session: HubSession | undefined;
  #feeds: readonly PartitionFeed[] = [];
  #createdOn = 0;
  #plans = 0;
  /** Events per second, as back-pressure wants it. */
  #rate: number | undefined;
  #batchIntervalMs = 1000;
  #failure: TidemarkError | undefined;
  #reportFailure: (error: Error) => void = () => undefined;
  #stopped: Promise<void> | undefined;

  constructor(settings: EventHubSettings, environment: EventHubEnvironment) {
    const { address, consumerGroup } = settings;
    this.#settings = settings;
    this.#clock = environment.clock ?? new SystemClock();
    this.#random = environment.random ?? new SystemRandom();
    this.#openConnection =
      environment.openConnection ??
      ((of, signal) => openAmqpConnection(of, this.#clock, environment.readDirectly ?? true, signal));
    this.#place = { host: address.host, hub: address.hub, consumerGroup };
    // The namespace may change its name (geo-recovery); that it is another hub shows in its time of creation. The service
    // doesn't tell case apart.
    this.identity = { eventHub: address.hub.toLowerCase(), consumerGroup: consumerGroup.toLowerCase() };
  }

  async start(start: EventHubStart): Promise<void> {
    if (this.#status !== 'new') throw new TidemarkError('STATUS_INVALID', 'This Event Hubs source was started before.');
    invariant(
      Number.isSafeInteger(start.epoch) && start.epoch >= 1,
      `The driver epoch is ${start.epoch}, not at least 1.`,
    );
    this.#status = 'starting';
    this.#reportFailure = start.fail;
    this.#batchIntervalMs = start.batchIntervalMs ?? this.#batchIntervalMs;
    try {
      const recorded = start.position === undefined ? undefined : parsePosition(start.position);
      const session = new HubSession(
        (signal) => this.#openConnection(this.#settings, signal),
        this.#place,
        this.#settings.onWarning,
      );
      this.#session = session;
      await this.#openFeeds(session, recorded, start.epoch);
      this.#throwIfOver();
      this.#status = 'running';
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  position(): EventHubPosition {
    return {
      createdOn: this.#createdOn,
      partitions: Object.fromEntries(this.#feeds.map((feed) => [feed.partitionId, feed.position])),
    };
  }

  async plan(): Promise<SourcePlan> {
    this.#throwIfOver();
    const { maxEventsPerBatch, maxEventsPerPartition } = this.#settings;
    const claims = this.#feeds.map((feed) => feed.claim(maxEventsPerPartition));
    const rateLimit = batchLimit(claims, this.#rate, this.#batchIntervalMs);
    const shares = shareBatch(claims, Math.min(maxEventsPerBatch, rateLimit), this.#plans++);
    const partitions = this.#feeds.map((feed, i) => feed.take(shares[i]!));
    return { partitions, position: this.position(), records: shares.reduce((sum, share) => sum + share, 0) };
  }

  setRate(eventsPerSecond: number): void {
    if (eventsPerSecond > 0) this.#rate = eventsPerSecond;
  }

  describePlan(plan: SourcePlan): string {
    const ranges = plan.partitions.map(parseRange).filter(({ from, to }) => to > from);
    return ranges.map(({ partitionId, from, to }) => `partition ${partitionId}: ${from} to ${to - 1}`).join('; ');
  }

  adopt(plan: SourcePlan): void {
    this.#eachPosition(plan, (feed, next) => feed.adopt(next));
  }

  async read(plan: SourcePlan, partition: number, push: (chunk: readonly EventHubEvent[]) => void): Promise<void> {
    this.#throwIfOver();
    const range = parseRange(plan.partitions[partition]);
    const feed = this.#feeds.find((candidate) => candidate.partitionId === range.partitionId);
    invariant(feed, `The plan names partition ${range.partitionId}, which this source does not read.`);
    await feed.read(range, push);
  }

  committed(plan: SourcePlan): void {
    this.#eachPosition(plan, (feed, next) => feed.free(next));
  }

  backlog(): number {
    return this.#feeds.reduce((sum, feed) => sum + feed.backlog, 0);
  }

  statistics(): readonly PartitionStatistics[] {
    return this.#feeds.map((feed) => ({ partitionId: feed.partitionId, ...feed.statistics }));
  }

  stop(): Promise<void> {
    this.#status = 'stopped';
    this.#stopped ??= this.#shutDown();
    return this.#stopped;
  }

  async #shutDown(): Promise<void> {
    this.#stopping.abort();
    const feedsStopped = this.#feeds.map((feed) => feed.stop());
    await this.#session?.close();
    await Promise.all(feedsStopped);
  }

  async #openFeeds(session: HubSession, recorded: EventHubPosition | undefined, epoch: number): Promise<void> {
    const { settings, place } = { settings: this.#settings, place: this.#place };
    const hub = await this.#retrying(async () => (await session.connection()).hubProperties());
    session.expectHub(hub.createdOn);
    this.#createdOn = hub.createdOn;
    this.#checkNamedPartitions(hub);
    const partitions = await this.#retrying(async () => readPartitions(await session.connection(), hub.partitionIds));
    const resolved = resolveStart(
      { name: place.hub, properties: hub },
      partitions,
      recorded,
      settings.startingPositionOf,
    );
    if (resolved.lost.length > 0 && settings.onDataLoss === 'fail') throw dataLoss(place.hub, resolved.lost);

    const feeds: PartitionFeed[] = [];
    for (const start of resolved.partitions) {
      const next = typeof start.next === 'number' ? start.next : await this.#lookUp(session, start, start.next, epoch);
      feeds.push(
        new PartitionFeed(
          { ...start, next },
          {
            session,
            settings,
            place: { ...place, partitionId: start.partitionId },
            epoch,
            clock: this.#clock,
            random: this.#random,
            fail: (error) => this.#fail(error),
            warn: settings.onWarning,
          },
        ),
      );
    }
    this.#throwIfOver();
    this.#feeds = feeds;
    for (const { partitionId, from, to } of resolved.lost) this.#feed(partitionId)?.reportLost(from, to);
    for (const partitionId of resolved.added) {
      settings.onWarning({
        kind: 'partition_added',
        message: `Event hub '${place.hub}' has a new partition ${partitionId}; it is read from its first event.`,
        partitionId,
      });
    }
    for (const feed of feeds) feed.start();
    await Promise.all(feeds.map((feed) => feed.attached));
    // The service opens a link before it refuses it; a full round trip later every refusal has arrived.
    await this.#retrying(async () => (await session.connection()).hubProperties());
  }

  /** The sequence number of the first event after a moment, learned by reading it. */
  #lookUp(
    session: HubSession,
    start: PartitionStart,
    after: { enqueuedTimeMs: number },
    epoch: number,
  ): Promise<number> {
    const { consumerGroup, retry } = this.#settings;
    const { partitionId } = start;
    return this.#retrying(async () => {
      const connection = await session.connection();
      const over = new AbortController();
      const first = Promise.withResolvers<number>();
      const tooLate = this.#clock.waitUntil(this.#clock.now() + retry.attemptTimeoutMs, over.signal).then(() => {
        throw new HubFailure('transient', `Partition ${partitionId} sent no event to look up its starting position.`);
      });
      const found = Promise.race([first.promise, tooLate]);
      found.catch(() => undefined);
      try {
        const link = await connection.openReceiver({
          partitionId,
          consumerGroup,
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

  /** At start: repeats what failed for a passing reason, then reports it as the application should see it. */
  async #retrying<T>(operation: () => Promise<T>, partitionId?: string): Promise<T> {
    const backoff = new Backoff(this.#settings.retry, this.#random);
    for (;;) {
      this.#throwIfOver();
      try {
        return await operation();
      } catch (error) {
        this.#throwIfOver();
        if (!(error instanceof HubFailure)) throw error;
        const delayMs = isWorthRetrying(error.kind, false) ? backoff.failed(this.#clock.now()) : undefined;
        if (delayMs === undefined) throw toTidemarkError(error, { ...this.#place, partitionId });
        // Aborted by stop(): the next turn says so.
        await this.#clock.waitUntil(this.#clock.now() + delayMs, this.#stopping.signal).catch(() => undefined);
      }
    }
  }

  #checkNamedPartitions(hub: HubProperties): void {
    const unknown = this.#settings.namedPartitions.filter((id) => !hub.partitionIds.includes(id));
    if (unknown.length === 0) return;
    throw new TidemarkError(
      'OPTION_INVALID',
      `startingPosition names the partition ${unknown.map((id) => `'${id}'`).join(', ')}, but event hub '${this.#place.hub}' has the partitions ${hub.partitionIds.join(', ')}.`,
    );
  }

  #eachPosition(plan: SourcePlan, act: (feed: PartitionFeed, next: number) => void): void {
    const { partitions } = parsePosition(plan.position);
    for (const feed of this.#feeds) {
      const next = partitions[feed.partitionId];
      // A partition that came after the plan was recorded is not in it.
      if (next !== undefined) act(feed, next);
    }
  }

  #feed(partitionId: string): PartitionFeed | undefined {
    return this.#feeds.find((feed) => feed.partitionId === partitionId);
  }

  #fail(error: TidemarkError): void {
    if (this.#failure || this.#status === 'stopped') return;
    this.#failure = error;
    // start() throws it itself.
    if (this.#status === 'running') this.#reportFailure(error);
    this.#stopped ??= this.#shutDown();
    this.#stopped.catch(() => undefined);
  }

  #throwIfOver(): void {
    if (this.#failure) throw this.#failure;
    if (this.#status === 'stopped')
      throw new TidemarkError('CANCELLED', `The source of event hub '${this.#place.hub}' was stopped.`);
    if (this.#status === 'new') throw new TidemarkError('STATUS_INVALID', 'This Event Hubs source is not started.');
  }
}

/** At most 16 requests at a time. */
async function readPartitions(connection: HubConnection, ids: readonly string[]): Promise<PartitionProperties[]> {
  const found: PartitionProperties[] = [];
  for (let i = 0; i < ids.length; i += 16) {
    found.push(...(await Promise.all(ids.slice(i, i + 16).map((id) => connection.partitionProperties(id)))));
  }
  return found;
}

/** The AMQP stack is loaded by those who use it only. */
async function openAmqpConnection(
  settings: EventHubSettings,
  clock: Clock,
  readDirectly: boolean,
  signal: AbortSignal,
): Promise<HubConnection> {
  const { AmqpConnection } = await import('./azure-amqp-connection.ts');
  const { createTokenProvider } = await import('./azure-tokens.ts');
  const { address, credential, body, retry } = settings;
  const tokens = await createTokenProvider(address, credential, () => clock.now());
  return AmqpConnection.open(
    { address, tokens, clock, body, attemptTimeoutMs: retry.attemptTimeoutMs, readDirectly },
    signal,
  );
}
