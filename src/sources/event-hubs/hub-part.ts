import type { EventHubWarning } from './event-hub-options.ts';
import type { FeedOpening, NextNumbers } from './feeds.ts';
import type { LocalFeeds } from './local-feeds.ts';
import type { FeedStanding } from './partition-feed.ts';

/** What the driver's instance of a divided source asks the one in a worker. */
export type PartQuestion =
  | { readonly kind: 'open'; readonly opening: FeedOpening }
  /** With the planning positions of the driver. */
  | { readonly kind: 'standing'; readonly next: NextNumbers }
  | { readonly kind: 'adopt' | 'free'; readonly next: NextNumbers };

/** Answer to `standing`, by partition id. */
export type PartStanding = Readonly<Record<string, FeedStanding>>;

/** What the instance in a worker tells by itself. */
export interface PartNews {
  readonly warning: EventHubWarning;
}

/** Answers the driver about the partitions of this thread. `expectHub` is called before the first connection is used. */
export async function answerPart(
  feeds: LocalFeeds,
  question: PartQuestion,
  expectHub: (createdOn: number) => void,
): Promise<PartStanding | undefined> {
  switch (question.kind) {
    case 'open':
      expectHub(question.opening.createdOn);
      await feeds.open(question.opening);
      return undefined;
    case 'standing':
      return Object.fromEntries(
        feeds.all.map((feed) => [feed.partitionId, feed.standing(question.next[feed.partitionId] ?? feed.position)]),
      );
    case 'adopt':
      feeds.adopt(question.next);
      return undefined;
    case 'free':
      feeds.free(question.next);
      return undefined;
  }
}
