/** What a link is, for choosing which ones a fault hits. Fields that are left out match everything. */
export interface LinkSelector {
  /** As the client sees it: `producer` sends, `consumer` receives. */
  readonly role?: 'producer' | 'consumer' | undefined;
  readonly hub?: string | undefined;
  readonly partition?: number | undefined;
  readonly consumerGroup?: string | undefined;
}

export interface AttachRefusal extends LinkSelector {
  /** An AMQP condition, e.g. `com.microsoft:server-busy`. */
  readonly condition: string;
  readonly description?: string | undefined;
  /** How many attaches are refused; default 1. */
  readonly times?: number | undefined;
}

export interface LinkDetachment extends LinkSelector {
  readonly condition: string;
  readonly description?: string | undefined;
}

/** Makes the emulator fail in the ways the service can. Everything takes effect at once and is undone by `clear`. */
export interface EventHubsEmulatorFaults {
  /** Cuts every connection without a word, as a lost network does; with a condition, closes it with that. Returns how many. */
  dropConnections(close?: { readonly condition: string; readonly description?: string | undefined }): number;
  /** Cuts the next `count` connections as soon as they are made. */
  dropNextConnections(count: number): void;
  refuseAttach(refusal: AttachRefusal): void;
  /** Detaches the open links that match. Returns how many. */
  detachLinks(detachment: LinkDetachment): number;
  /** Answers sends only `delayMs` (by the emulator's clock) after they are stored. 0 ends it. */
  delayAccepts(delayMs: number): void;
  /** Rejects the next `count` sends with `com.microsoft:server-busy`; nothing of them is stored. */
  throttleSends(count: number): void;
  /**
   * Stores the next `count` sends but loses the answer: `drop-connection` (default) cuts the connection instead of
   * answering, `silent` leaves the producer waiting.
   */
  loseAccepts(count: number, how?: 'drop-connection' | 'silent'): void;
  /** Expires the events of a partition before `sequenceNumber`. */
  trimPartition(hub: string, partition: number, sequenceNumber: number): void;
  /** Deletes the hub and creates it again: its links are detached, sequence numbers restart at 0. */
  recreateHub(hub: string): void;
  /** Stops sending the events of a partition to readers until `unfreezeDelivery`. Events are still stored. */
  freezeDelivery(hub: string, partition: number): void;
  unfreezeDelivery(hub: string, partition: number): void;
  /** Ends all faults that are still to come. */
  clear(): void;
}

interface PendingRefusal {
  readonly refusal: AttachRefusal;
  left: number;
}

export interface LinkIdentity {
  readonly role: 'producer' | 'consumer';
  readonly hub: string;
  readonly partition: number | undefined;
  readonly consumerGroup: string | undefined;
}

export function matches(selector: LinkSelector, link: LinkIdentity): boolean {
  return (
    (selector.role === undefined || selector.role === link.role) &&
    (selector.hub === undefined || selector.hub.toLowerCase() === link.hub.toLowerCase()) &&
    (selector.partition === undefined || selector.partition === link.partition) &&
    (selector.consumerGroup === undefined || selector.consumerGroup.toLowerCase() === link.consumerGroup?.toLowerCase())
  );
}

const pendingRefusalsMax = 1000;

/** The faults that are still to come, asked by the links. */
export class FaultState {
  #connectionsToDrop = 0;
  #refusals: PendingRefusal[] = [];
  #delayMs = 0;
  #sendsToThrottle = 0;
  #acceptsToLose = 0;
  #loss: 'drop-connection' | 'silent' = 'drop-connection';

  dropNextConnections(count: number): void {
    this.#connectionsToDrop = count;
  }

  takeDroppedConnection(): boolean {
    return this.#connectionsToDrop > 0 && this.#connectionsToDrop-- > 0;
  }

  refuseAttach(refusal: AttachRefusal): void {
    this.#refusals.push({ refusal, left: refusal.times ?? 1 });
    if (this.#refusals.length > pendingRefusalsMax) this.#refusals.shift();
  }

  takeAttachRefusal(link: LinkIdentity): AttachRefusal | undefined {
    const pending = this.#refusals.find(({ refusal, left }) => left > 0 && matches(refusal, link));
    if (pending === undefined) return undefined;
    pending.left--;
    this.#refusals = this.#refusals.filter(({ left }) => left > 0);
    return pending.refusal;
  }

  delayAccepts(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  acceptDelayMs(): number {
    return this.#delayMs;
  }

  throttleSends(count: number): void {
    this.#sendsToThrottle = count;
  }

  takeThrottledSend(): boolean {
    return this.#sendsToThrottle > 0 && this.#sendsToThrottle-- > 0;
  }

  loseAccepts(count: number, how: 'drop-connection' | 'silent'): void {
    this.#acceptsToLose = count;
    this.#loss = how;
  }

  takeLostAccept(): 'drop-connection' | 'silent' | undefined {
    return this.#acceptsToLose > 0 && this.#acceptsToLose-- > 0 ? this.#loss : undefined;
  }

  clear(): void {
    this.#connectionsToDrop = 0;
    this.#refusals = [];
    this.#delayMs = 0;
    this.#sendsToThrottle = 0;
    this.#acceptsToLose = 0;
  }
}
