import { TidemarkError } from '../../base/errors.ts';
import type { ArrivedEvents } from './arrived-events.ts';
import type { EventHubEvent } from './event-hub-event.ts';

/** The port to one AMQP connection to a hub. It never reconnects: when `closed` resolves, another one is opened. */
export interface HubConnection {
  /** Resolves with the reason once nothing more comes of it; never rejects. */
  readonly closed: Promise<HubFailure>;
  hubProperties(): Promise<HubProperties>;
  partitionProperties(partitionId: string): Promise<PartitionProperties>;
  /** @throws HubFailure */
  openReceiver(request: ReceiverRequest): Promise<ReceiverLink>;
  /** Bounded in time, idempotent; leaves no handle behind. */
  close(): Promise<void>;
}

export interface HubProperties {
  /** Ms since the Unix epoch. A hub that is deleted and created again has another one. */
  readonly createdOn: number;
  readonly partitionIds: readonly string[];
}

export interface PartitionProperties {
  readonly partitionId: string;
  /** First sequence number that is retained, -1 when nothing was ever written. */
  readonly beginSequenceNumber: number;
  /** Last sequence number that was ever written, expired or not; -1 when nothing was. */
  readonly lastSequenceNumber: number;
  readonly lastEnqueuedTimeMs: number;
  /** Nothing is retained. */
  readonly isEmpty: boolean;
}

export interface ReceiverRequest {
  readonly partitionId: string;
  readonly consumerGroup: string;
  readonly after: ReceiverStart;
  /** Owner level: the service detaches readers with a lower one and refuses this one if there is a higher. */
  readonly epoch: number;
  /** Called in order, synchronously. `lastEnqueued`: last sequence number of the partition at that moment, if it came along. */
  readonly onEvent: (event: EventHubEvent, bytes: number, lastEnqueued: number | undefined) => void;
  /**
   * Usual events come this way, many at a time and undecoded, and only unusual ones by `onEvent`; both in one order,
   * synchronously. Without it all come by `onEvent`.
   */
  readonly onArrived?: ((events: ArrivedEvents) => void) | undefined;
  /** Called at most once, when the link ends without `close`. */
  readonly onClosed: (failure: HubFailure) => void;
}

/** All of them exclusive: an inclusive start at the end of an idle partition is refused by the service. */
export type ReceiverStart = { readonly sequenceNumber: number } | { readonly enqueuedTimeMs: number };

export interface ReceiverLink {
  /** Nothing arrives without credit: one event per credit. */
  addCredit(credit: number): void;
  /** After it no event is handed on. Doesn't throw. */
  close(): Promise<void>;
}

/**
 * `stolen` a reader with the same or a higher owner level has the partition; `not_found` hub, group or partition don't
 * exist; `unauthorized`; `position_invalid` the start position lies beyond the log; `disabled` the hub is switched off;
 * `disconnected` the connection is gone; `closed` by ourselves; `transient` everything else: worth another attempt.
 */
export type HubFailureKind =
  | 'stolen'
  | 'not_found'
  | 'unauthorized'
  | 'position_invalid'
  | 'disabled'
  | 'disconnected'
  | 'closed'
  | 'transient';

/** What went wrong on the wire, already sorted by what can be done about it. Doesn't leave this folder. */
export class HubFailure extends Error {
  readonly kind: HubFailureKind;

  constructor(kind: HubFailureKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

export interface FailurePlace {
  readonly host: string;
  readonly hub: string;
  readonly consumerGroup: string;
  readonly partitionId?: string | undefined;
}

/** The failure as the application sees it, with the way out. */
export function toTidemarkError(failure: HubFailure, place: FailurePlace): TidemarkError {
  const partition = place.partitionId === undefined ? '' : `, partition ${place.partitionId}`;
  const where = `event hub '${place.hub}', consumer group '${place.consumerGroup}'${partition} at ${place.host}`;
  const options = { cause: failure, context: { ...place } };
  switch (failure.kind) {
    case 'stolen':
      return new TidemarkError(
        'SOURCE_FENCED',
        `Another reader with the same or a higher owner level took ${where}. If a newer driver of this application replaced this one, leave it stopped; any other application needs a consumer group of its own. (${failure.message})`,
        options,
      );
    case 'not_found':
      return new TidemarkError(
        'SOURCE_NOT_FOUND',
        `There is no ${where}. Correct eventHubName, consumerGroup or the namespace, or create what is missing. (${failure.message})`,
        options,
      );
    case 'unauthorized':
      return new TidemarkError(
        'CREDENTIALS_INVALID',
        `The service refused the credentials for ${where}. Check key name, key and expiry of the connection string (the policy needs Listen), or give the identity the role Azure Event Hubs Data Receiver. (${failure.message})`,
        options,
      );
    case 'position_invalid':
      return new TidemarkError(
        'SOURCE_RECREATED',
        `The service refused the position for ${where}: it lies beyond the end of the partition, so the hub was probably deleted and created again. Start a new stream with another checkpoint URL, or restore the hub. (${failure.message})`,
        options,
      );
    case 'disabled':
      return new TidemarkError(
        'SOURCE_UNAVAILABLE',
        `The service says that ${where} is disabled. Enable the hub, then start again. (${failure.message})`,
        options,
      );
    case 'closed':
      return new TidemarkError('CANCELLED', `The source was stopped: ${where}.`, options);
    case 'disconnected':
    case 'transient':
      return new TidemarkError(
        'SOURCE_UNAVAILABLE',
        `Could not reach ${where} until the retries were used up. Check the host name and the network; nothing is lost, start again when it is back. Last failure: ${failure.message}`,
        options,
      );
  }
}

/** Another attempt may help. A refused key too, while running: keys are rotated. */
export function isWorthRetrying(kind: HubFailureKind, running: boolean): boolean {
  return kind === 'disconnected' || kind === 'transient' || (running && kind === 'unauthorized');
}
