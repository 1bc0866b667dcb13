import { invariant, TidemarkError, toError } from '../../base/errors.ts';
import type { SourceLine } from '../source.ts';
import type { ShareClaim } from './batch-shares.ts';
import type { EventHubWarning } from './event-hub-options.ts';
import type { EventHubRange } from './event-hub-position.ts';
import type { Feed, FeedOpening, FeedStart, FeedStatistics, Feeds, NextNumbers } from './feeds.ts';
import type { PartNews, PartQuestion, PartStanding } from './hub-part.ts';
import type { FeedStanding } from './partition-feed.ts';

const nothingYet: FeedStatistics = { received: 0, duplicates: 0, lost: 0, buffered: 0, credit: 0 };

/** The planning of one partition that a worker receives. Knows what `refresh` has learned. */
class DividedFeed implements Feed {
  readonly partitionId: string;
  readonly #start: FeedStart;
  #standing: FeedStanding;
  #planned: number;
  #floor: number;

  constructor(start: FeedStart) {
    this.partitionId = start.partitionId;
    this.#start = start;
    this.#planned = start.next;
    this.#floor = start.next;
    this.#standing = this.#unknown();
  }

  get position(): number {
    return this.#planned;
  }

  get statistics(): FeedStatistics {
    return this.#standing.statistics;
  }

  get backlog(): number {
    const { end, lastEnqueued } = this.#standing;
    return this.#held() + Math.max(0, lastEnqueued + 1 - Math.max(end, this.#planned));
  }

  claim(eventsMax: number): ShareClaim {
    return { available: Math.min(this.#held(), eventsMax), backlog: this.backlog };
  }

  take(count: number): EventHubRange {
    const { run, end } = this.#standing;
    // As in PartitionFeed: what lies between is lost, and reported.
    const from = run === undefined || run.to <= this.#planned ? Math.max(this.#planned, end) : this.#next(run.from);
    this.#planned = from + count;
    return { partitionId: this.partitionId, from, to: this.#planned };
  }

  adopt(next: number): void {
    this.#planned = Math.max(this.#planned, next);
  }

  free(next: number): void {
    this.adopt(next);
    this.#floor = Math.max(this.#floor, next);
  }

  learn(standing: FeedStanding): void {
    this.#standing = standing;
  }

  /** Where the next worker begins: what is not committed is read again. */
  startAgain(): FeedStart {
    const { earliest, floating, ...start } = this.#start;
    const hasMoved = this.#planned > start.next;
    this.#standing = this.#unknown();
    return {
      ...start,
      next: this.#floor,
      earliest: Math.max(earliest, this.#floor),
      floating: floating && !hasMoved,
    };
  }

  #held(): number {
    const { run } = this.#standing;
    return run === undefined ? 0 : Math.max(0, run.to - this.#next(run.from));
  }

  #next(from: number): number {
    return Math.max(from, this.#planned);
  }

  #unknown(): FeedStanding {
    const { earliest, lastEnqueued } = this.#start;
    return { run: undefined, end: Math.max(this.#floor, earliest), lastEnqueued, statistics: nothingYet };
  }
}

/**
 * Partitions that workers receive: plans from what they say has arrived.
 *
 * Owns the planning positions. Doesn't own events, links and connections: those are the workers'. Partition i of the opening
 * lies in worker i % lines.length; one whose thread has died begins again at what is committed.
 */
export class DividedFeeds implements Feeds {
  readonly #lines: readonly SourceLine[];
  readonly #fail: (error: Error) => void;
  #opening: Omit<FeedOpening, 'starts' | 'lost'> | undefined;
  #feeds: readonly DividedFeed[] = [];

  constructor(lines: readonly SourceLine[], fail: (error: Error) => void, warn: (warning: EventHubWarning) => void) {
    invariant(lines.length > 0, 'A source is divided among at least one worker.');
    this.#lines = lines;
    this.#fail = fail;
    for (const [i, line] of lines.entries()) {
      line.listen({
        told: (news) => warn((news as PartNews).warning),
        failed: fail,
        replaced: () => this.#replaced(i),
      });
    }
  }

  get all(): readonly DividedFeed[] {
    return this.#feeds;
  }

  async open({ starts, lost, ...opening }: FeedOpening): Promise<void> {
    this.#opening = opening;
    this.#feeds = starts.map((start) => new DividedFeed(start));
    await this.#ofEach((line) => {
      const own = starts.filter((_, i) => i % this.#lines.length === line);
      const ids = new Set(own.map(({ partitionId }) => partitionId));
      const lostHere = lost.filter(({ partitionId }) => ids.has(partitionId));
      return { kind: 'open', opening: { ...opening, starts: own, lost: lostHere } };
    });
    await this.refresh();
  }

  async refresh(): Promise<void> {
    await this.#ofEach(
      (line) => ({ kind: 'standing', next: positionsOf(this.#of(line)) }),
      (line, answer) => {
        const standings = answer as PartStanding;
        for (const feed of this.#of(line)) {
          const standing = standings[feed.partitionId];
          if (standing !== undefined) feed.learn(standing);
        }
      },
    );
  }

  adopt(next: NextNumbers): void {
    this.#move('adopt', next);
  }

  free(next: NextNumbers): void {
    this.#move('free', next);
  }

  read(range: EventHubRange): Promise<void> {
    invariant(false, `Partition ${range.partitionId} is divided among workers, and read in the driver.`);
  }

  /** The workers' own end closes what they hold. */
  async stop(): Promise<void> {}

  #move(kind: 'adopt' | 'free', next: NextNumbers): void {
    for (const feed of this.#feeds) {
      const number = next[feed.partitionId];
      if (number !== undefined) feed[kind](number);
    }
    this.#ofEach(() => ({ kind, next })).catch((error) => this.#fail(toError(error)));
  }

  #replaced(line: number): void {
    if (this.#opening === undefined) return;
    const starts = this.#of(line).map((feed) => feed.startAgain());
    const question: PartQuestion = { kind: 'open', opening: { ...this.#opening, starts, lost: [] } };
    this.#lines[line]!.ask(question).catch((error) => {
      if (!hasEnded(error)) this.#fail(toError(error));
    });
  }

  #of(line: number): DividedFeed[] {
    return this.#feeds.filter((_, i) => i % this.#lines.length === line);
  }

  /** A worker that has died has nothing to say: the one that takes its place will. */
  async #ofEach(question: (line: number) => PartQuestion, answered?: (line: number, answer: unknown) => void) {
    await Promise.all(
      this.#lines.map(async (line, i) => {
        try {
          const answer = await line.ask(question(i));
          answered?.(i, answer);
        } catch (error) {
          if (!hasEnded(error)) throw error;
        }
      }),
    );
  }
}

function hasEnded(error: unknown): boolean {
  return error instanceof TidemarkError && error.code === 'CANCELLED';
}

function positionsOf(feeds: readonly Feed[]): NextNumbers {
  return Object.fromEntries(feeds.map(({ partitionId, position }) => [partitionId, position]));
}
