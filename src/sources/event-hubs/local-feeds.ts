import type { Clock } from '../../base/clock.ts';
import { invariant, type TidemarkError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import type { PushChunk } from '../source.ts';
import type { EventHubEvent } from './event-hub-event.ts';
import type { EventHubSettings, EventHubWarning } from './event-hub-options.ts';
import type { EventHubRange } from './event-hub-position.ts';
import type { FeedOpening, Feeds, NextNumbers } from './feeds.ts';
import type { HubCalls } from './hub-calls.ts';
import type { FailurePlace } from './hub-connection.ts';
import type { HubSession } from './hub-session.ts';
import { PartitionFeed } from './partition-feed.ts';

interface LocalFeedsFields {
  readonly session: HubSession;
  readonly calls: HubCalls;
  readonly settings: EventHubSettings;
  readonly place: FailurePlace;
  readonly clock: Clock;
  readonly random: Random;
  readonly fail: (error: TidemarkError) => void;
  readonly warn: (warning: EventHubWarning) => void;
}

/** Partitions that this thread receives, over one connection. Owns the feeds; doesn't own the connection. */
export class LocalFeeds implements Feeds {
  readonly #fields: LocalFeedsFields;
  #feeds: readonly PartitionFeed[] = [];

  constructor(fields: LocalFeedsFields) {
    this.#fields = fields;
  }

  get all(): readonly PartitionFeed[] {
    return this.#feeds;
  }

  async open({ starts, epoch, lost }: FeedOpening): Promise<void> {
    const { session, calls, place } = this.#fields;
    this.#feeds = starts.map(
      (start) =>
        new PartitionFeed(start, { ...this.#fields, epoch, place: { ...place, partitionId: start.partitionId } }),
    );
    for (const { partitionId, from, to } of lost) this.#feed(partitionId)?.reportLost(from, to);
    for (const feed of this.#feeds) feed.start();
    await Promise.all(this.#feeds.map((feed) => feed.attached));
    // The service opens a link before it refuses it; a full round trip later every refusal has arrived.
    await calls.retrying(async () => (await session.connection()).hubProperties());
  }

  async refresh(): Promise<void> {}

  adopt(next: NextNumbers): void {
    this.#each(next, (feed, number) => feed.adopt(number));
  }

  free(next: NextNumbers): void {
    this.#each(next, (feed, number) => feed.free(number));
  }

  read(range: EventHubRange, push: PushChunk<EventHubEvent>): Promise<void> {
    const feed = this.#feed(range.partitionId);
    invariant(feed, `The plan names partition ${range.partitionId}, which this source does not read.`);
    return feed.read(range, push);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#feeds.map((feed) => feed.stop()));
  }

  #each(next: NextNumbers, act: (feed: PartitionFeed, number: number) => void): void {
    for (const feed of this.#feeds) {
      const number = next[feed.partitionId];
      // A partition that came after the plan was recorded is not in it.
      if (number !== undefined) act(feed, number);
    }
  }

  #feed(partitionId: string): PartitionFeed | undefined {
    return this.#feeds.find((feed) => feed.partitionId === partitionId);
  }
}
