import type { Clock } from '../../base/clock.ts';
import { TidemarkError, toError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import type { ArrivedEvents } from './arrived-events.ts';
import { Attachment, type AttachmentEnd } from './attachment.ts';
import { Backoff } from './backoff.ts';
import type { EventHubEvent } from './event-hub-event.ts';
import type { EventHubSettings, EventHubWarning } from './event-hub-options.ts';
import { earliestOf, recreated } from './event-hub-position.ts';
import {
  type FailurePlace,
  HubFailure,
  isWorthRetrying,
  type PartitionProperties,
  toTidemarkError,
} from './hub-connection.ts';
import type { HubSession } from './hub-session.ts';

/** What a partition's feed and link share. */
export interface PartitionSurroundings {
  readonly session: HubSession;
  readonly settings: EventHubSettings;
  /** Names the partition. */
  readonly place: FailurePlace & { readonly partitionId: string };
  readonly epoch: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly fail: (error: TidemarkError) => void;
  readonly warn: (warning: EventHubWarning) => void;
}

/** Who the events are for. */
export interface LinkOwner {
  /** Sequence number to receive next; a read may set it back, followed by `restart`. */
  readonly next: number;
  /** False: the event is later than `next`, so something is missing before it. Must not throw. */
  accept(event: EventHubEvent, bytes: number, lastEnqueued: number | undefined): boolean;
  /** How many of them were accepted; fewer than all: what comes then is later than `next`. Must not throw. */
  acceptArrived(events: ArrivedEvents): number;
  /** The service told of events from `next` on. */
  isOwed(): boolean;
  /** Credit to add now, with so much outstanding. */
  creditToAdd(outstanding: number): number;
  /** Events from `next` to `to` are gone for good. @throws DATA_LOSS unless they may be skipped. */
  lose(to: number): void;
}

/**
 * Keeps one partition's receive link open, across detaches and lost connections, always at the owner's next event.
 *
 * Owns the link, its credit, and what a failure of it means. Doesn't own the connection (HubSession) or the events
 * (LinkOwner).
 *
 * Invariants
 *   L1. A gap is believed only after a second link showed it too.
 *   L2. After a stolen link nothing is attached again: whoever stole it may be the newer driver.
 *   L3. Failing without progress ends after `retry.totalMs`.
 */
export class PartitionLink {
  /** Resolves when the first link is open; rejects with what made that impossible. */
  readonly attached: Promise<void>;

  readonly #surroundings: PartitionSurroundings;
  readonly #owner: LinkOwner;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  readonly #firstAttach = Promise.withResolvers<void>();
  #attachment: Attachment | undefined;
  #wasAttached = false;
  #wasDetached = false;
  #suspectedGap: number | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(owner: LinkOwner, surroundings: PartitionSurroundings) {
    this.#owner = owner;
    this.#surroundings = surroundings;
    this.#backoff = new Backoff(surroundings.settings.retry, surroundings.random);
    this.attached = this.#firstAttach.promise;
    // Who doesn't wait for it learns of the failure by `fail`.
    this.attached.catch(() => undefined);
  }

  /** Events the service may still send without being asked again. */
  get outstanding(): number {
    return this.#attachment?.outstanding ?? 0;
  }

  start(): void {
    this.#running = this.#keepAttached();
  }

  async stop(reason: TidemarkError): Promise<void> {
    this.#stopping.abort();
    this.#attachment?.end({ reason: 'stopped' });
    this.#firstAttach.reject(reason);
    await this.#running;
  }

  /** The owner's next event lies before the link's place. */
  restart(): void {
    this.#suspectedGap = undefined;
    this.#attachment?.end({ reason: 'rewound' });
  }

  /** Asks for what the owner has room for. */
  replenish(): void {
    const attachment = this.#attachment;
    if (!attachment?.link || attachment.isEnded) return;
    const credit = this.#owner.creditToAdd(attachment.outstanding);
    if (credit > 0) attachment.ask(credit);
  }

  async #keepAttached(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const end = await this.#attachOnce();
      if (this.#stopping.signal.aborted) return;
      try {
        await this.#goOnAfter(end).catch((error) => this.#recover(toError(error)));
      } catch (error) {
        if (!this.#stopping.signal.aborted) this.#fail(error);
        return;
      }
    }
  }

  async #attachOnce(): Promise<AttachmentEnd> {
    const { session, settings, place, epoch, clock } = this.#surroundings;
    const attachment = new Attachment(clock);
    this.#attachment = attachment;
    try {
      const connection = await session.connection();
      // A hub that is deleted detaches its links; the one that takes its name may have events enough to look the same.
      if (this.#wasDetached) await session.verify();
      this.#wasDetached = false;
      attachment.link = await connection.openReceiver({
        partitionId: place.partitionId,
        consumerGroup: settings.consumerGroup,
        after: { sequenceNumber: this.#owner.next - 1 },
        epoch,
        onEvent: (event, bytes, lastEnqueued) => this.#received(attachment, event, bytes, lastEnqueued),
        onArrived: (events) => this.#receivedMany(attachment, events),
        onClosed: (error) => attachment.end({ reason: 'failed', error }),
      });
      // A refused link is opened first and closed with the reason right after.
      if (!attachment.isEnded) {
        this.#wasAttached = true;
        this.#firstAttach.resolve();
        this.replenish();
      }
      void attachment.watchSilence(settings.silenceMs, () => this.#owner.isOwed());
      return await attachment.ended;
    } catch (error) {
      return { reason: 'failed', error: toError(error) };
    } finally {
      attachment.end({ reason: 'stopped' });
      if (clock.now() - attachment.openedMs > settings.retry.maxDelayMs) this.#backoff.succeeded();
      await attachment.link?.close();
    }
  }

  #received(attachment: Attachment, event: EventHubEvent, bytes: number, lastEnqueued: number | undefined): void {
    if (attachment.isEnded) return;
    attachment.arrived();
    const expected = this.#owner.next;
    if (!this.#owner.accept(event, bytes, lastEnqueued)) {
      attachment.end({ reason: 'gap', found: event.sequenceNumber });
      return;
    }
    this.#progressed(expected);
    this.replenish();
  }

  /** The same for what came together. */
  #receivedMany(attachment: Attachment, events: ArrivedEvents): void {
    if (attachment.isEnded) return;
    attachment.arrived(events.count);
    const expected = this.#owner.next;
    const accepted = this.#owner.acceptArrived(events);
    this.#progressed(expected);
    if (accepted < events.count) attachment.end({ reason: 'gap', found: events.sequenceNumbers[accepted]! });
    else this.replenish();
  }

  #progressed(expected: number): void {
    if (this.#owner.next <= expected) return;
    this.#suspectedGap = undefined;
    if (this.#backoff.failures > 0) this.#backoff.succeeded();
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
    const expected = this.#owner.next;
    if (this.#suspectedGap !== expected) {
      this.#suspectedGap = expected; // L1
      return;
    }
    if (await this.#partitionIfStillAt(expected)) this.#lose(found);
  }

  /** The service said that there is more, and the link stays quiet: expired to the last event, or a dead link. */
  async #examineSilence(): Promise<void> {
    const { place, settings, warn } = this.#surroundings;
    const expected = this.#owner.next;
    const partition = await this.#partitionIfStillAt(expected);
    if (!partition) return;
    const earliest = earliestOf(partition);
    if (earliest > expected) return this.#lose(earliest);
    warn({
      kind: 'silent_link',
      message: `Partition ${place.partitionId} of event hub '${place.hub}' delivered nothing for ${settings.silenceMs} ms though events wait from ${expected} on; opening its link anew.`,
      partitionId: place.partitionId,
    });
  }

  #lose(to: number): void {
    this.#suspectedGap = undefined;
    this.#owner.lose(to);
  }

  /** Undefined when a read went back meanwhile. @throws SOURCE_RECREATED */
  async #partitionIfStillAt(expected: number): Promise<PartitionProperties | undefined> {
    const { session, place } = this.#surroundings;
    const partition = await (await session.connection()).partitionProperties(place.partitionId);
    if (this.#owner.next !== expected) return undefined;
    if (partition.lastSequenceNumber < expected - 1) {
      throw recreated(
        place.hub,
        `partition ${place.partitionId} has written up to sequence number ${partition.lastSequenceNumber}, but ${expected - 1} was already read from it`,
      );
    }
    return partition;
  }

  /** Returns when another attempt may be made; throws when that makes no sense. */
  async #recover(error: Error): Promise<void> {
    if (!(error instanceof HubFailure)) throw error;
    const { clock, place, warn } = this.#surroundings;
    this.#wasDetached = this.#wasAttached;
    // Says more than the refusal, if it is so.
    if (error.kind === 'position_invalid') await this.#partitionIfStillAt(this.#owner.next);
    const worthwhile = isWorthRetrying(error.kind, this.#wasAttached); // L2
    const delayMs = worthwhile ? this.#backoff.failed(clock.now()) : undefined;
    if (delayMs === undefined) throw toTidemarkError(error, place);
    if (error.kind !== 'disconnected' && this.#backoff.failures === 1) {
      warn({
        kind: 'reconnecting',
        message: `Lost the link to partition ${place.partitionId} of event hub '${place.hub}', opening it again. (${error.message})`,
        partitionId: place.partitionId,
      });
    }
    await clock.waitUntil(clock.now() + delayMs, this.#stopping.signal);
  }

  #fail(thrown: unknown): void {
    const error =
      thrown instanceof TidemarkError
        ? thrown
        : new TidemarkError('INTERNAL', toError(thrown).message, { cause: thrown });
    this.#firstAttach.reject(error);
    this.#surroundings.fail(error);
  }
}
