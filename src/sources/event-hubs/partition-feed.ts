import { TidemarkError } from '../../base/errors.ts';
import type { PushChunk } from '../source.ts';
import type { ArrivedEvents } from './arrived-events.ts';
import type { ShareClaim } from './batch-shares.ts';
import { creditToGrant } from './credit.ts';
import type { EventHubEvent } from './event-hub-event.ts';
import { dataLoss, type EventHubRange } from './event-hub-position.ts';
import type { Feed, FeedStart, FeedStatistics } from './feeds.ts';
import { type DenseRun, PartitionBuffer } from './partition-buffer.ts';
import { type LinkOwner, PartitionLink, type PartitionSurroundings } from './partition-link.ts';

const chunkRows = 4096;

/** Credit in flight; of the first events, whose size nobody knows, a few only. */
const outstandingMax = 1024;
const outstandingFirst = 64;

/** What a feed holds, seen from a planning position. */
export interface FeedStanding {
  /** What can be planned next. */
  readonly run: DenseRun | undefined;
  /** Next sequence number to receive. */
  readonly end: number;
  readonly lastEnqueued: number;
  readonly statistics: FeedStatistics;
}

/**
 * One partition: checks and buffers what its link receives, plans ranges of it and reads them.
 *
 * In: events. Out: ranges, and their events in order. Owns buffer and planning position. Doesn't own the link
 * (PartitionLink) or the share of a batch (EventHubSource).
 *
 * Invariants
 *   F1. Events enter the buffer in dense order. A lower number is a duplicate and dropped, a higher one is a gap.
 *   F2. Buffered events plus credit never exceed `bufferEventsMax`, whether the link is busy, idle or nobody consumes.
 *   F3. A range given out by `take` is dense and stays buffered until `free`, so reading it doesn't wait.
 */
export class PartitionFeed implements Feed, LinkOwner {
  readonly partitionId: string;

  readonly #surroundings: PartitionSurroundings;
  readonly #buffer: PartitionBuffer;
  readonly #link: PartitionLink;
  readonly #waiters = new Set<() => void>();
  #readLane: Promise<void> = Promise.resolve();
  /** Why reading is over: a failure, or the stop. */
  #over: TidemarkError | undefined;

  /** Next sequence number to plan. */
  #planned: number;
  /** Everything below is committed. */
  #floor: number;
  #lastEnqueued: number;
  #floating: boolean;
  #averageEventBytes = 1024;
  #received = 0;
  #duplicates = 0;
  #lost = 0;
  #lostUpTo = 0;

  constructor(start: FeedStart, surroundings: PartitionSurroundings) {
    this.partitionId = start.partitionId;
    this.#surroundings = surroundings;
    this.#buffer = new PartitionBuffer(start.next);
    if (start.earliest > start.next) this.#buffer.skipTo(start.earliest);
    this.#planned = start.next;
    this.#floor = start.next;
    this.#lastEnqueued = start.lastEnqueued;
    this.#floating = start.floating;
    this.#link = new PartitionLink(this, {
      ...surroundings,
      fail: (error) => {
        this.#end(error);
        surroundings.fail(error);
      },
    });
  }

  /** Resolves when the first link is open. */
  get attached(): Promise<void> {
    return this.#link.attached;
  }

  start(): void {
    this.#link.start();
  }

  async stop(): Promise<void> {
    const { hub } = this.#surroundings.place;
    const cancelled = new TidemarkError(
      'CANCELLED',
      `Reading partition ${this.partitionId} of event hub '${hub}' was stopped.`,
    );
    this.#end(cancelled);
    await this.#link.stop(cancelled);
    this.#buffer.reset(this.#buffer.end);
  }

  /** Next sequence number to plan: the position of this partition. */
  get position(): number {
    return this.#planned;
  }

  get statistics(): FeedStatistics {
    return {
      received: this.#received,
      duplicates: this.#duplicates,
      lost: this.#lost,
      buffered: this.#buffer.size,
      credit: this.#link.outstanding,
    };
  }

  /** Events known to wait, here or at the service, and not planned yet. */
  get backlog(): number {
    const buffered = this.#buffer.countFrom(this.#planned);
    return buffered + Math.max(0, this.#lastEnqueued + 1 - Math.max(this.#buffer.end, this.#planned));
  }

  /** What a driver in another thread, whose planning position is `from`, has to know. */
  standing(from: number): FeedStanding {
    return {
      run: this.#buffer.runFrom(from),
      end: this.#buffer.end,
      lastEnqueued: this.#lastEnqueued,
      statistics: this.statistics,
    };
  }

  /** What could go into the next batch. */
  claim(eventsMax: number): ShareClaim {
    const run = this.#buffer.runFrom(this.#planned);
    return { available: run ? Math.min(run.to - run.from, eventsMax) : 0, backlog: this.backlog };
  }

  /** Plans the next `count` events (at most what `claim` said). */
  take(count: number): EventHubRange {
    const run = this.#buffer.runFrom(this.#planned);
    // Nothing is held from here to the end: what lies between is lost, and reported.
    const from = run?.from ?? Math.max(this.#planned, this.#buffer.end);
    this.#planned = from + count;
    return { partitionId: this.partitionId, from, to: this.#planned };
  }

  /** A recorded plan moves the planning position to its end. */
  adopt(next: number): void {
    this.#planned = Math.max(this.#planned, next);
    this.#floating = false;
  }

  /** Everything below `next` is committed. */
  free(next: number): void {
    this.adopt(next);
    this.#floor = Math.max(this.#floor, next);
    this.#buffer.dropBelow(next);
    this.#link.replenish();
  }

  /** @throws SOURCE_UNAVAILABLE, DATA_LOSS, SOURCE_FENCED, SOURCE_RECREATED, CANCELLED */
  async read(range: EventHubRange, push: PushChunk<EventHubEvent>): Promise<void> {
    if (this.#over) throw this.#over;
    if (range.from === range.to) return;
    const run = this.#buffer.runFrom(range.from);
    let rest = range;
    if (run && run.from === range.from && run.to >= range.to) {
      const next = await this.#push(range.from, range.to, push); // F3
      if (next === range.to) return;
      rest = { ...range, from: next };
    }
    // Waiting reads may set the link back to an earlier place, so one at a time.
    const turn = this.#readLane.then(() => this.#readWaiting(rest, push));
    this.#readLane = turn.catch(() => undefined);
    return turn;
  }

  /** A recorded range that has not arrived (completely), or was larger than the buffer and has been let go. */
  async #readWaiting(range: EventHubRange, push: PushChunk<EventHubEvent>): Promise<void> {
    const { clock, settings } = this.#surroundings;
    if (range.from < this.#buffer.start) {
      this.#buffer.reset(range.from);
      this.#link.restart();
    }
    let next = range.from;
    let dueMs = clock.now() + settings.readTimeoutMs;
    for (;;) {
      if (this.#over) throw this.#over;
      const run = this.#buffer.runFrom(next);
      if (run && run.from < range.to) {
        const to = Math.min(run.to, range.to);
        next = await this.#push(run.from, to, push);
        dueMs = clock.now() + settings.readTimeoutMs;
      } else if (this.#buffer.end >= range.to) {
        // Nothing more is held below range.to: the rest was reported lost.
        return;
      }
      if (next === range.to) return;
      // A range larger than the buffer is streamed through it: a retry starts again from the service.
      if (this.#isFull()) this.#buffer.dropBelow(next);
      this.#link.replenish();
      if (!(await this.#changed(dueMs))) throw this.#readTimedOut(range, next);
    }
  }

  /** Resolves with where it came to: while a push was waited for, a waiting read may have set the buffer back. */
  async #push(from: number, to: number, push: PushChunk<EventHubEvent>): Promise<number> {
    let next = from;
    while (next < to) {
      const end = Math.min(next + chunkRows, to);
      const pushed = push(this.#buffer.slice(next, end));
      next = end;
      if (pushed === undefined) continue;
      await pushed;
      const run = this.#buffer.runFrom(next);
      if (next < to && (run?.from !== next || run.to < to)) break;
    }
    return next;
  }

  get next(): number {
    return this.#buffer.end;
  }

  accept(event: EventHubEvent, bytes: number, lastEnqueued: number | undefined): boolean {
    const verdict = this.#check(event.sequenceNumber, lastEnqueued ?? -1);
    if (verdict === 'next') {
      this.#count(bytes);
      this.#buffer.append(event, bytes);
      this.#appended();
    }
    return verdict !== 'gap';
  }

  acceptArrived(events: ArrivedEvents): number {
    const { count, sequenceNumbers, lastEnqueued } = events;
    let i = 0;
    for (; i < count; i++) {
      const verdict = this.#check(sequenceNumbers[i]!, lastEnqueued[i]!);
      if (verdict === 'gap') break;
      if (verdict === 'next') this.#count(this.#buffer.appendArrived(events, i));
    }
    this.#appended();
    return i;
  }

  /** F1. */
  #check(sequenceNumber: number, lastEnqueued: number): 'next' | 'duplicate' | 'gap' {
    const latest = lastEnqueued > sequenceNumber ? lastEnqueued : sequenceNumber;
    if (latest > this.#lastEnqueued) this.#lastEnqueued = latest;
    if (sequenceNumber < this.#buffer.end) {
      this.#duplicates++;
      return 'duplicate';
    }
    if (sequenceNumber > this.#buffer.end) {
      if (!this.#floating) return 'gap';
      this.#buffer.skipTo(sequenceNumber);
    }
    this.#floating = false;
    return 'next';
  }

  #count(bytes: number): void {
    this.#received++;
    this.#averageEventBytes += (bytes - this.#averageEventBytes) / Math.min(this.#received, 32);
  }

  #appended(): void {
    if (this.#buffer.start < this.#floor) this.#buffer.dropBelow(this.#floor);
    if (this.#waiters.size > 0) this.#wake();
  }

  isOwed(): boolean {
    return this.#lastEnqueued >= this.#buffer.end;
  }

  creditToAdd(outstanding: number): number {
    const { bufferEventsMax, bufferBytesMax } = this.#surroundings.settings;
    return creditToGrant({
      bufferedEvents: this.#buffer.size,
      bufferedBytes: this.#buffer.bytes,
      outstanding,
      outstandingMax: this.#received < outstandingFirst ? outstandingFirst : outstandingMax,
      eventsMax: bufferEventsMax,
      bytesMax: bufferBytesMax,
      averageEventBytes: this.#averageEventBytes,
    });
  }

  lose(to: number): void {
    const { settings, place } = this.#surroundings;
    const from = this.#buffer.end;
    // Nothing was promised yet: the stream just begins later.
    if (!this.#floating) {
      if (settings.onDataLoss === 'fail') throw dataLoss(place.hub, [{ partitionId: this.partitionId, from, to }]);
      this.reportLost(from, to);
    }
    this.#buffer.skipTo(to);
    this.#wake();
  }

  /** Counts and reports a lost range, once even if a replay comes across it again. */
  reportLost(from: number, to: number): void {
    const newFrom = Math.max(from, this.#lostUpTo);
    if (newFrom >= to) return;
    this.#lost += to - newFrom;
    this.#lostUpTo = to;
    this.#surroundings.warn({
      kind: 'events_lost',
      message: `Partition ${this.partitionId} of event hub '${this.#surroundings.place.hub}' no longer has ${to - newFrom} events, sequence numbers ${newFrom} to ${to - 1}; going on after them (onDataLoss: 'skip').`,
      partitionId: this.partitionId,
      from: newFrom,
      to,
    });
  }

  #isFull(): boolean {
    const { bufferEventsMax, bufferBytesMax } = this.#surroundings.settings;
    return this.#buffer.size >= bufferEventsMax || this.#buffer.bytes + this.#averageEventBytes > bufferBytesMax;
  }

  /** False when `dueMs` passed first. */
  async #changed(dueMs: number): Promise<boolean> {
    const { clock } = this.#surroundings;
    const settled = new AbortController();
    const change = Promise.withResolvers<boolean>();
    const wake = (): void => change.resolve(true);
    this.#waiters.add(wake);
    try {
      const timeout = clock.waitUntil(dueMs, settled.signal).then(
        () => false,
        () => true,
      );
      return await Promise.race([change.promise, timeout]);
    } finally {
      this.#waiters.delete(wake);
      settled.abort();
    }
  }

  #wake(): void {
    for (const wake of this.#waiters) wake();
  }

  #end(reason: TidemarkError): void {
    this.#over ??= reason;
    this.#wake();
  }

  #readTimedOut(range: EventHubRange, next: number): TidemarkError {
    const { place, settings } = this.#surroundings;
    return new TidemarkError(
      'SOURCE_UNAVAILABLE',
      `Reading the recorded range ${range.from} to ${range.to - 1} of partition ${this.partitionId}, event hub '${place.hub}', got no event for ${settings.readTimeoutMs} ms; ${next} is the next one. Nothing is lost: start again when the hub answers, or raise readTimeoutMs.`,
      { context: { ...place, next } },
    );
  }
}
