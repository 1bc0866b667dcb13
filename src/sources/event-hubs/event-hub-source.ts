import { type Clock, SystemClock } from '../../base/clock.ts';
import { invariant, TidemarkError } from '../../base/errors.ts';
import { type Random, SystemRandom } from '../../base/random.ts';
import type {
  Divisible,
  DriverLine,
  PushChunk,
  RateControlled,
  Source,
  SourceLine,
  SourcePlan,
  SourceStart,
} from '../source.ts';
import { batchLimit, shareBatch } from './batch-shares.ts';
import { DividedFeeds } from './divided-feeds.ts';
import type { EventHubEvent } from './event-hub-event.ts';
import {
  type EventHubOptions,
  type EventHubSettings,
  type EventHubWarning,
  parseEventHubOptions,
} from './event-hub-options.ts';
import { type EventHubPosition, parsePosition, parseRange } from './event-hub-position.ts';
import type { Feeds } from './feeds.ts';
import { HubCalls } from './hub-calls.ts';
import type { FailurePlace, HubConnection } from './hub-connection.ts';
import { answerPart, type PartNews, type PartQuestion } from './hub-part.ts';
import { HubSession } from './hub-session.ts';
import { LocalFeeds } from './local-feeds.ts';
import { resolveFeeds } from './resolve-feeds.ts';

export interface EventHubSource extends Source<EventHubEvent>, RateControlled, Divisible {
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
 * Owns the order of start and stop, the shares of a batch and the position. What happens inside a partition is its Feed's,
 * in this thread or in a worker; the connection is the HubSession's.
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
  readonly #session: HubSession;
  readonly #calls: HubCalls;
  readonly #place: FailurePlace;
  readonly #stopping = new AbortController();
  #warn: (warning: EventHubWarning) => void;
  #status: 'new' | 'starting' | 'running' | 'stopped' = 'new';
  readonly #local: LocalFeeds;
  /** Those in this thread, or those of the workers. */
  #feeds: Feeds;
  /** In a worker: the driver has said what to receive. */
  #opened: Promise<void> | undefined;
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
    this.#warn = settings.onWarning;
    this.#clock = environment.clock ?? new SystemClock();
    this.#random = environment.random ?? new SystemRandom();
    this.#place = { host: address.host, hub: address.hub, consumerGroup };
    const open =
      environment.openConnection ??
      ((of, signal) => openAmqpConnection(of, this.#clock, environment.readDirectly ?? true, signal));
    this.#session = new HubSession(
      (signal) => open(settings, signal),
      this.#place,
      (warning) => this.#warn(warning),
    );
    this.#calls = new HubCalls({
      clock: this.#clock,
      random: this.#random,
      limits: settings.retry,
      place: this.#place,
      stopping: this.#stopping.signal,
      throwIfOver: () => this.#throwIfOver(),
    });
    this.#local = new LocalFeeds({
      session: this.#session,
      calls: this.#calls,
      settings,
      place: this.#place,
      clock: this.#clock,
      random: this.#random,
      fail: (error) => this.#fail(error),
      warn: (warning) => this.#warn(warning),
    });
    this.#feeds = this.#local;
    // The namespace may change its name (geo-recovery); that it is another hub shows in its time of creation. The service
    // doesn't tell case apart.
    this.identity = { eventHub: address.hub.toLowerCase(), consumerGroup: consumerGroup.toLowerCase() };
  }

  divide(lines: readonly SourceLine[]): void {
    this.#begin('new');
    this.#feeds = new DividedFeeds(
      lines,
      (error) => this.#fail(this.#ofWorker(error)),
      (warning) => this.#warn(warning),
    );
  }

  serve(driver: DriverLine): (question: unknown) => Promise<unknown> {
    this.#begin('running');
    this.#reportFailure = driver.fail;
    this.#warn = (warning) => driver.tell({ warning } satisfies PartNews);
    const opened = Promise.withResolvers<void>();
    this.#opened = opened.promise;
    this.#stopping.signal.addEventListener('abort', () => opened.resolve());
    return (question) => {
      const asked = question as PartQuestion;
      const answer = answerPart(this.#local, asked, (createdOn) => this.#session.expectHub(createdOn));
      if (asked.kind === 'open') opened.resolve();
      return answer;
    };
  }

  async start(start: EventHubStart): Promise<void> {
    this.#begin('starting');
    const { epoch } = start;
    invariant(Number.isSafeInteger(epoch) && epoch >= 1, `The driver epoch is ${epoch}, not at least 1.`);
    this.#reportFailure = start.fail;
    this.#batchIntervalMs = start.batchIntervalMs ?? this.#batchIntervalMs;
    try {
      const recorded = start.position === undefined ? undefined : parsePosition(start.position);
      const opening = await resolveFeeds({
        session: this.#session,
        calls: this.#calls,
        settings: this.#settings,
        place: this.#place,
        clock: this.#clock,
        recorded,
        epoch,
      });
      this.#throwIfOver();
      this.#createdOn = opening.createdOn;
      await this.#feeds.open(opening);
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
      partitions: Object.fromEntries(this.#feeds.all.map((feed) => [feed.partitionId, feed.position])),
    };
  }

  async plan(): Promise<SourcePlan> {
    this.#throwIfOver();
    await this.#feeds.refresh();
    const { maxEventsPerBatch, maxEventsPerPartition } = this.#settings;
    const feeds = this.#feeds.all;
    const claims = feeds.map((feed) => feed.claim(maxEventsPerPartition));
    const rateLimit = batchLimit(claims, this.#rate, this.#batchIntervalMs);
    const shares = shareBatch(claims, Math.min(maxEventsPerBatch, rateLimit), this.#plans++);
    const partitions = feeds.map((feed, i) => feed.take(shares[i]!));
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
    this.#feeds.adopt(parsePosition(plan.position).partitions);
  }

  async read(plan: SourcePlan, partition: number, push: PushChunk<EventHubEvent>): Promise<void> {
    await this.#opened;
    this.#throwIfOver();
    await this.#feeds.read(parseRange(plan.partitions[partition]), push);
  }

  committed(plan: SourcePlan): void {
    this.#feeds.free(parsePosition(plan.position).partitions);
  }

  backlog(): number {
    return this.#feeds.all.reduce((sum, feed) => sum + feed.backlog, 0);
  }

  /** Events stay where they are; what has arrived elsewhere becomes known. */
  drain(): Promise<void> {
    return this.#feeds.refresh();
  }

  statistics(): readonly PartitionStatistics[] {
    return this.#feeds.all.map((feed) => ({ partitionId: feed.partitionId, ...feed.statistics }));
  }

  stop(): Promise<void> {
    this.#status = 'stopped';
    this.#stopped ??= this.#shutDown();
    return this.#stopped;
  }

  async #shutDown(): Promise<void> {
    this.#stopping.abort();
    const feedsStopped = this.#feeds.stop();
    await this.#session.close();
    await feedsStopped;
  }

  #begin(status: 'new' | 'starting' | 'running'): void {
    if (this.#status !== 'new') throw new TidemarkError('STATUS_INVALID', 'This Event Hubs source was started before.');
    this.#status = status;
  }

  #ofWorker(error: Error): TidemarkError {
    if (error instanceof TidemarkError) return error;
    const { hub } = this.#place;
    return new TidemarkError('SOURCE_UNAVAILABLE', `A worker cannot read event hub '${hub}': ${error.message}`, {
      cause: error,
    });
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
