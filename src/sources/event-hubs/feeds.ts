import type { PushChunk } from '../source.ts';
import type { ShareClaim } from './batch-shares.ts';
import type { EventHubEvent } from './event-hub-event.ts';
import type { EventHubRange, LostRange, PartitionStart } from './event-hub-position.ts';

/** Where a partition begins: its first sequence number is known. */
export interface FeedStart extends PartitionStart {
  readonly next: number;
}

/** What feeds are opened with. Plain data: it may go to another thread. */
export interface FeedOpening {
  /** Of the hub, as in EventHubPosition. */
  readonly createdOn: number;
  readonly epoch: number;
  readonly starts: readonly FeedStart[];
  /** What had expired before the start, and may be skipped. */
  readonly lost: readonly LostRange[];
}

export interface FeedStatistics {
  readonly received: number;
  readonly duplicates: number;
  readonly lost: number;
  readonly buffered: number;
  readonly credit: number;
}

/** One partition as its planning sees it, wherever its events are. */
export interface Feed {
  readonly partitionId: string;
  /** Next sequence number to plan. */
  readonly position: number;
  /** Events known to wait, and not planned yet. */
  readonly backlog: number;
  readonly statistics: FeedStatistics;
  /** What could go into the next batch. */
  claim(eventsMax: number): ShareClaim;
  /** Plans the next `count` events (at most what `claim` said). */
  take(count: number): EventHubRange;
}

/** Next sequence numbers by partition id. */
export type NextNumbers = Readonly<Record<string, number>>;

/** The partitions of a hub that one source reads: in this thread (LocalFeeds), or divided among workers (DividedFeeds). */
export interface Feeds {
  /** Of every partition, in the order of the opening; empty before. */
  readonly all: readonly Feed[];
  /** Resolves when every partition is received, and the service has not refused one. */
  open(opening: FeedOpening): Promise<void>;
  /** What has arrived by now can be planned. */
  refresh(): Promise<void>;
  /** A recorded plan moves the planning positions to its end. */
  adopt(next: NextNumbers): void;
  /** Everything below is committed. */
  free(next: NextNumbers): void;
  read(range: EventHubRange, push: PushChunk<EventHubEvent>): Promise<void>;
  /** Idempotent. */
  stop(): Promise<void>;
}
