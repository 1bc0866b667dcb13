import type { Clock } from '../../base/clock.ts';
import { TidemarkError, toError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { Attachment, type AttachmentEnd } from './attachment.ts';
import { Backoff } from './backoff.ts';
import type { ShareClaim } from './batch-shares.ts';
import { creditToGrant } from './credit.ts';
import type { EventHubEvent } from './event-hub-event.ts';
import type { EventHubSettings, EventHubWarning } from './event-hub-options.ts';
import { dataLoss, type EventHubRange, earliestOf, type PartitionStart, recreated } from './event-hub-position.ts';
import { type FailurePlace, HubFailure, isWorthRetrying, toTidemarkError } from './hub-connection.ts';
import type { HubSession } from './hub-session.ts';
import { PartitionBuffer } from './partition-buffer.ts';

export interface FeedSurroundings {
  readonly session: HubSession;
  readonly settings: EventHubSettings;
  readonly place: FailurePlace;
  readonly epoch: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly fail: (error: TidemarkError) => void;
  readonly warn: (warning: EventHubWarning) => void;
}

const chunkRows = 4096;

/** Credit in flight; of the first events, whose size nobody knows, a few only. */
const outstandingMax = 1024;
const outstandingFirst = 64;

/**
 * One partition: keeps its receive link open, checks and buffers what arrives, plans ranges of it and reads them.
 *
 * In: events of a link. Out: ranges, and their events in order. Owns link, buffer, planning position and the decision what
 * a failure of the link means. Doesn't own the connection (HubSession) or the share of a batch (EventHubSource).
 *
 * Invariants
 *   F1. Events enter the buffer in dense order. A lower number is a duplicate and dropped; a higher one is a gap, and a gap
 *       is believed only after a second link showed it too.
 *   F2. Buffered events plus credit never exceed `bufferEventsMax`, whether the link is busy, idle or nobody consumes.
 *   F3. A range given out by `take` is dense and stays buffered until `free`, so reading it doesn't wait.
 *   F4. After a stolen link nothing is attached again: whoever stole it may be the newer driver.
 */
export class PartitionFeed {
  readonly partitionId: string;
  /** Resolves when the first link is open; rejects with what made that impossible. */
  readonly attached: Promise<void>;

  readonly #surroundings: FeedSurroundings;
  readonly #place: FailurePlace;
  readonly #buffer: PartitionBuffer;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  readonly #waiters = new Set<() => void>();
  #resolveAttached!: () => void;
  #rejectAttached!: (error: TidemarkError) => void;
  #running: Promise<void> = Promise.resolve();
  #readLane: Promise<void> = Promise.resolve();
  #attachment: Attachment | undefined;
  #wasAttached = false;
  #failure: TidemarkError | undefined;

  /** Next sequence number to plan. */
  #planned: number;
  /** Everything below is committed. */
  #floor: number;
  #lastEnqueued: number;
  #floating: boolean;
  #suspectedGap: number | undefined;
  #averageEventBytes = 1024;
  #received = 0;
  #duplicates = 0;
  #lost = 0;
  #lostUpTo = 0;

  constructor(start: PartitionStart & { readonly next: number }, surroundings: FeedSurroundings) {
    this.partitionId = start.partitionId;
    this.#surroundings = surroundings;
    this.#place = { ...surroundings.place, partitionId: start.partitionId };
    this.#buffer = new PartitionBuffer(start.next);
    if (start.earliest > start.next) this.#buffer.skipTo(start.earliest);
    this.#planned = start.next;
    this.#floor = start.next;
    this.#lastEnqueued = start.lastEnqueued;
    this.#floating = start.floating;
    this.#backoff = new Backoff(surroundings.settings.retry, surroundings.random);
    this.attached = new Promise((resolve, reject) => {
      this.#resolveAttached = resolve;
      this.#rejectAttached = reject;
    });
    // Who doesn't wait for it learns of the failure by `fail`.
    this.attached.catch(() => undefined);
  }

  start(): void {
    this.#running = this.#keepAttached();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#attachment?.end({ reason: 'stopped' });
    this.#rejectAttached(this.#cancelled());
    this.#wake();
    await this.#running;
  }

  /** Next sequence number to plan: the position of this partition. */
  get position(): number {
    return this.#planned;
  }

  get statistics(): { received: number; duplicates: number; lost: number; buffered: number; credit: number } {
    return {
      received: this.#received,
      duplicates: this.#duplicates,
      lost: this.#lost,
      buffered: this.#buffer.size,
      credit: this.#attachment?.outstanding ?? 0,
    };
  }

  /** Events known to wait, here or at the service, and not planned yet. */
  get backlog(): number {
    const buffered = this.#buffer.countFrom(this.#planned);
    return buffered + Math.max(0, this.#lastEnqueued + 1 - Math.max(this.#buffer.end, this.#planned));
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
    this.#replenish();
  }

  /** @throws SOURCE_UNAVAILABLE, DATA_LOSS, SOURCE_FENCED, SOURCE_RECREATED, CANCELLED */
  async read(range: EventHubRange, push: (chunk: readonly EventHubEvent[]) => void): Promise<void> {
    this.#throwIfOver();
    const run = this.#buffer.runFrom(range.from);
    if (range.from === range.to) return;
    if (run && run.from === range.from && run.to >= range.to) return this.#push(range.from, range.to, push);
    // Waiting reads may reset the link to an earlier place, so one at a time.
    const turn = this.#readLane.then(() => this.#readWaiting(range, push));
    this.#readLane = turn.catch(() => undefined);
    return turn;
  }

  /** A recorded range that has not arrived (completely), or was larger than the buffer and has been let go. */
  async #readWaiting(range: EventHubRange, push: (chunk: readonly EventHubEvent[]) => void): Promise<void> {
    const { clock, settings } = this.#surroundings;
    if (range.from < this.#buffer.start) this.#rewind(range.from);
    let next = range.from;
    let dueMs = clock.now() + settings.readTimeoutMs;
    for (;;) {
      this.#throwIfOver();
      const run = this.#buffer.runFrom(next);
      if (run && run.from < range.to) {
        const to = Math.min(run.to, range.to);
        this.#push(run.from, to, push);
        next = to;
        dueMs = clock.now() + settings.readTimeoutMs;
      } else if (this.#buffer.end >= range.to) {
        // Nothing more is held below range.to: the rest was reported lost.
        return;
      }
      if (next === range.to) return;
      // A range larger than the buffer is streamed through it: a retry starts again from the service.
      if (this.#isFull()) this.#buffer.dropBelow(next);
      this.#replenish();
      if (!(await this.#changed(dueMs))) throw this.#readTimedOut(range, next);
    }
  }

  #push(from: number, to: number, push: (chunk: readonly EventHubEvent[]) => void): void {
    for (let next = from; next < to; next += chunkRows) push(this.#buffer.slice(next, Math.min(next + chunkRows, to)));
  }

  #rewind(next: number): void {
    this.#buffer.reset(next);
    this.#suspectedGap = undefined;
    this.#attachment?.end({ reason: 'rewound' });
  }

  async #keepAttached(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const end = await this.#attachOnce();
      if (this.#stopping.signal.aborted) return;
      try {
        await this.#goOnAfter(end).catch((error) => this.#goOnAfter({ reason: 'failed', error: toError(error) }));
      } catch (error) {
        if (!this.#stopping.signal.aborted) this.#fail(error);
        return;
      }
    }
  }

  async #attachOnce(): Promise<AttachmentEnd> {
    const { session, settings, epoch, clock } = this.#surroundings;
    const attachment = new Attachment(clock);
    this.#attachment = attachment;
    try {
      const connection = await session.connection();
      attachment.link = await connection.openReceiver({
        partitionId: this.partitionId,
        consumerGroup: settings.consumerGroup,
        after: { sequenceNumber: this.#buffer.end - 1 },
        epoch,
        onEvent: (event, bytes, lastEnqueued) => this.#accept(attachment, event, bytes, lastEnqueued),
        onClosed: (error) => attachment.end({ reason: 'failed', error }),
      });
      // A refused link is opened first and closed with the reason right after.
      if (!attachment.isEnded) {
        this.#wasAttached = true;
        this.#resolveAttached();
        this.#replenish();
      }
      void attachment.watchSilence(settings.silenceMs, () => this.#lastEnqueued >= this.#buffer.end);
      return await attachment.ended;
    } catch (error) {
      return { reason: 'failed', error: toError(error) };
    } finally {
      attachment.end({ reason: 'stopped' });
      if (clock.now() - attachment.openedMs > settings.retry.maxDelayMs) this.#backoff.succeeded();
      await attachment.link?.close();
    }
  }

  #accept(attachment: Attachment, event: EventHubEvent, bytes: number, lastEnqueued: number | undefined): void {
    if (attachment.isEnded) return;
    attachment.arrived();
    this.#lastEnqueued = Math.max(this.#lastEnqueued, lastEnqueued ?? -1, event.sequenceNumber);
    const expected = this.#buffer.end;
    if (event.sequenceNumber < expected) {
      this.#duplicates++;
      this.#replenish();
      return;
    }
    if (event.sequenceNumber > expected) {
      if (!this.#floating) {
        attachment.end({ reason: 'gap', found: event.sequenceNumber });
        return;
      }
      this.#buffer.skipTo(event.sequenceNumber);
    }
    this.#floating = false;
    this.#suspectedGap = undefined;
    this.#received++;
    if (this.#backoff.failures > 0) this.#backoff.succeeded();
    this.#averageEventBytes += (bytes - this.#averageEventBytes) / Math.min(this.#received, 32);
    this.#buffer.append(event, bytes);
    if (this.#buffer.end <= this.#floor) this.#buffer.dropBelow(this.#floor);
    this.#replenish();
    if (this.#waiters.size > 0) this.#wake();
  }

  async #goOnAfter(end: AttachmentEnd): Promise<void> {
    switch (end.reason) {
      case 'stopped':
      case 'rewound':
        return;
      case 'gap':
        return this.#examineGap(end.found);
      case 'silent':
        return this.#examineSilence();
      case 'failed':
        return this.#recover(end.error);
    }
  }

  async #examineGap(found: number): Promise<void> {
    const expected = this.#buffer.end;
    if (this.#suspectedGap !== expected) {
      this.#suspectedGap = expected;
      return;
    }
    const connection = await this.#surroundings.session.connection();
    const { lastSequenceNumber } = await connection.partitionProperties(this.partitionId);
    if (this.#buffer.end !== expected) return; // a read went back meanwhile
    if (lastSequenceNumber < expected - 1) throw this.#recreated(lastSequenceNumber);
    this.#lose(expected, found);
  }

  /** The service said that there is more, and the link stays quiet: expired to the last event, or a dead link. */
  async #examineSilence(): Promise<void> {
    const expected = this.#buffer.end;
    const connection = await this.#surroundings.session.connection();
    const partition = await connection.partitionProperties(this.partitionId);
    if (this.#buffer.end !== expected) return;
    if (partition.lastSequenceNumber < expected - 1) throw this.#recreated(partition.lastSequenceNumber);
    const earliest = earliestOf(partition);
    if (earliest > expected) return this.#lose(expected, earliest);
    this.#surroundings.warn({
      kind: 'silent_link',
      message: `Partition ${this.partitionId} of event hub '${this.#place.hub}' delivered nothing for ${this.#surroundings.settings.silenceMs} ms though events wait from ${expected} on; opening its link anew.`,
      partitionId: this.partitionId,
    });
  }

  /** @throws DATA_LOSS unless the policy is to go on. */
  #lose(from: number, to: number): void {
    const { settings } = this.#surroundings;
    const lost = { partitionId: this.partitionId, from, to };
    if (!this.#floating) {
      if (settings.onDataLoss === 'fail') throw dataLoss(this.#place.hub, [lost]);
      this.reportLost(from, to);
    }
    this.#suspectedGap = undefined;
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
      message: `Partition ${this.partitionId} of event hub '${this.#place.hub}' no longer has ${to - newFrom} events, sequence numbers ${newFrom} to ${to - 1}; going on after them (onDataLoss: 'skip').`,
      partitionId: this.partitionId,
      from: newFrom,
      to,
    });
  }

  async #recover(error: Error): Promise<void> {
    if (!(error instanceof HubFailure)) throw error;
    const { clock, session, warn } = this.#surroundings;
    if (error.kind === 'position_invalid') {
      const { lastSequenceNumber } = await (await session.connection()).partitionProperties(this.partitionId);
      throw lastSequenceNumber < this.#buffer.end - 1
        ? this.#recreated(lastSequenceNumber)
        : toTidemarkError(error, this.#place);
    }
    if (!isWorthRetrying(error.kind, this.#wasAttached)) throw toTidemarkError(error, this.#place);
    const delayMs = this.#backoff.failed(clock.now());
    if (delayMs === undefined) throw toTidemarkError(error, this.#place);
    if (error.kind !== 'disconnected' && this.#backoff.failures === 1) {
      warn({
        kind: 'reconnecting',
        message: `Lost the link to partition ${this.partitionId} of event hub '${this.#place.hub}', opening it again. (${error.message})`,
        partitionId: this.partitionId,
      });
    }
    await clock.waitUntil(clock.now() + delayMs, this.#stopping.signal);
  }

  #replenish(): void {
    const attachment = this.#attachment;
    if (!attachment?.link || attachment.isEnded) return;
    const { bufferEventsMax: eventsMax, bufferBytesMax: bytesMax } = this.#surroundings.settings;
    const credit = creditToGrant({
      bufferedEvents: this.#buffer.size,
      bufferedBytes: this.#buffer.bytes,
      outstanding: attachment.outstanding,
      outstandingMax: this.#received < outstandingFirst ? outstandingFirst : outstandingMax,
      eventsMax,
      bytesMax,
      averageEventBytes: this.#averageEventBytes,
    });
    if (credit > 0) attachment.ask(credit);
  }

  #isFull(): boolean {
    const { bufferEventsMax, bufferBytesMax } = this.#surroundings.settings;
    return this.#buffer.size >= bufferEventsMax || this.#buffer.bytes + this.#averageEventBytes > bufferBytesMax;
  }

  /** False when `dueMs` passed first. */
  async #changed(dueMs: number): Promise<boolean> {
    const { clock } = this.#surroundings;
    const settled = new AbortController();
    let wake!: () => void;
    const change = new Promise<boolean>((resolve) => {
      wake = () => resolve(true);
    });
    this.#waiters.add(wake);
    try {
      const timeout = clock.waitUntil(dueMs, settled.signal).then(
        () => false,
        () => true,
      );
      return await Promise.race([change, timeout]);
    } finally {
      this.#waiters.delete(wake);
      settled.abort();
    }
  }

  #wake(): void {
    for (const wake of this.#waiters) wake();
  }

  #fail(thrown: unknown): void {
    const error =
      thrown instanceof TidemarkError
        ? thrown
        : new TidemarkError('INTERNAL', toError(thrown).message, { cause: thrown });
    this.#failure = error;
    this.#rejectAttached(error);
    this.#surroundings.fail(error);
    this.#wake();
  }

  #throwIfOver(): void {
    if (this.#failure) throw this.#failure;
    if (this.#stopping.signal.aborted) throw this.#cancelled();
  }

  #cancelled(): TidemarkError {
    return new TidemarkError(
      'CANCELLED',
      `Reading partition ${this.partitionId} of event hub '${this.#place.hub}' was stopped.`,
    );
  }

  #recreated(lastSequenceNumber: number): TidemarkError {
    return recreated(
      this.#place.hub,
      `partition ${this.partitionId} has written up to sequence number ${lastSequenceNumber}, but ${this.#buffer.end - 1} was already read from it`,
    );
  }

  #readTimedOut(range: EventHubRange, next: number): TidemarkError {
    return new TidemarkError(
      'SOURCE_UNAVAILABLE',
      `Reading the recorded range ${range.from} to ${range.to - 1} of partition ${this.partitionId}, event hub '${this.#place.hub}', got no event for ${this.#surroundings.settings.readTimeoutMs} ms; ${next} is the next one. Nothing is lost: start again when the hub answers, or raise readTimeoutMs.`,
      { context: { ...this.#place, next } },
    );
  }
}
