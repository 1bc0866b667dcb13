import { TidemarkError } from '../base/errors.ts';
import { type ErrorRecord, fromErrorRecord } from './error-record.ts';
import type { Link } from './link.ts';

/** Blocks of one map partition, for a worker that reads them: by reduce partition. */
export type SentBlocks = readonly (readonly [reducePartition: number, bytes: Uint8Array<ArrayBuffer>])[];

/** By map partition, then by reduce partition. */
export type ReceivedBlocks = ReadonlyMap<number, ReadonlyMap<number, Uint8Array>>;

/** How a worker's part of a step ended. */
export interface StepOutcome {
  /** The partition that failed for good, and why. */
  readonly failure?: { readonly partition: number; readonly error: ErrorRecord } | undefined;
  /** For all workers to have. */
  readonly value?: Uint8Array<ArrayBuffer> | undefined;
}

interface BlocksMessage {
  readonly step: string;
  readonly mapPartition: number;
  readonly blocks: SentBlocks;
}

interface DoneMessage extends StepOutcome {
  readonly step: string;
  /** What the step is for: equal on all workers, or their programs differ. */
  readonly signature: string;
}

/** What has come for a step, perhaps before this worker has begun it. */
class Inbox {
  readonly blocks = new Map<number, Map<number, Uint8Array>>();
  readonly done = new Map<number, DoneMessage>();
  readonly complete = Promise.withResolvers<void>();
}

/**
 * How workers that run the same program give each other what they have computed: in steps, which all of them take, known
 * by their names. In a step every worker sends blocks to those who read them, then says that it is done; a step is over
 * when all have said so. A failure of one is told to all, so that a step succeeds everywhere or fails everywhere.
 *
 * What has come for steps that a worker has not begun is held until it does: at most what the shuffles of the batch hold.
 */
export class Exchange {
  readonly #index: number;
  /** By worker; a hole for this one. */
  readonly #links: readonly (Link | undefined)[];
  readonly #inboxes = new Map<string, Inbox>();

  constructor(index: number, links: readonly (Link | undefined)[]) {
    this.#index = index;
    this.#links = links;
  }

  /** `signature`: what the step is for. Each name once. */
  begin(name: string, signature: string): ExchangeStep {
    const peers = this.#links.flatMap((link, index) => (link === undefined ? [] : [{ link, index }]));
    const inbox = this.#inbox(name);
    if (peers.length === 0) inbox.complete.resolve();
    return new ExchangeStep(name, signature, this.#index, peers, inbox, () => this.#inboxes.delete(name));
  }

  /** What another worker has told. */
  receive(from: number, name: 'blocks' | 'done', message: unknown): void {
    if (name === 'blocks') {
      const { step, mapPartition, blocks } = message as BlocksMessage;
      this.#inbox(step).blocks.set(mapPartition, new Map(blocks));
      return;
    }
    const done = message as DoneMessage;
    const inbox = this.#inbox(done.step);
    inbox.done.set(from, done);
    if (inbox.done.size === this.#links.length - 1) inbox.complete.resolve();
  }

  /** Steps that wait for others fail. */
  fail(error: Error): void {
    for (const inbox of this.#inboxes.values()) {
      inbox.complete.promise.catch(() => {});
      inbox.complete.reject(error);
    }
  }

  #inbox(step: string): Inbox {
    let inbox = this.#inboxes.get(step);
    if (inbox === undefined) {
      inbox = new Inbox();
      this.#inboxes.set(step, inbox);
    }
    return inbox;
  }
}

/** This worker's part of one step. */
export class ExchangeStep {
  readonly #name: string;
  readonly #signature: string;
  readonly #index: number;
  readonly #peers: readonly { readonly link: Link; readonly index: number }[];
  readonly #inbox: Inbox;
  readonly #forget: () => void;

  constructor(
    name: string,
    signature: string,
    index: number,
    peers: readonly { readonly link: Link; readonly index: number }[],
    inbox: Inbox,
    forget: () => void,
  ) {
    this.#name = name;
    this.#signature = signature;
    this.#index = index;
    this.#peers = peers;
    this.#inbox = inbox;
    this.#forget = forget;
  }

  get peers(): readonly number[] {
    return this.#peers.map(({ index }) => index);
  }

  /** Hands the bytes over: they are gone here. */
  send(worker: number, mapPartition: number, blocks: SentBlocks): void {
    const peer = this.#peers.find(({ index }) => index === worker);
    const message: BlocksMessage = { step: this.#name, mapPartition, blocks };
    peer?.link.tell(
      'blocks',
      message,
      blocks.map(([, bytes]) => bytes.buffer),
    );
  }

  /**
   * Tells the others how it went here and waits for their word. Resolves with their blocks and values.
   * @throws the failure of the lowest partition, on every worker the same; WORKERS_DIVERGED
   */
  async end(outcome: StepOutcome): Promise<{
    readonly blocks: ReceivedBlocks;
    readonly values: ReadonlyMap<number, Uint8Array>;
  }> {
    const own: DoneMessage = { ...outcome, step: this.#name, signature: this.#signature };
    for (const { link } of this.#peers) link.tell('done', own);
    try {
      await this.#inbox.complete.promise;
    } finally {
      this.#forget();
    }
    const others = [...this.#inbox.done];
    for (const [worker, { signature }] of others) {
      if (signature !== this.#signature) {
        throw diverged(`worker ${this.#index}`, this.#signature, `worker ${worker}`, signature);
      }
    }
    const failures = [own, ...others.map(([, done]) => done)].flatMap(({ failure }) => failure ?? []);
    if (failures.length > 0) {
      throw fromErrorRecord(failures.reduce((a, b) => (b.partition < a.partition ? b : a)).error);
    }
    const values = others.flatMap(([worker, { value }]) => (value === undefined ? [] : [[worker, value] as const]));
    return { blocks: this.#inbox.blocks, values: new Map(values) };
  }
}

/** `what`: of each, in the same words. */
export function diverged(name: string, what: string, otherName: string, otherWhat: string): TidemarkError {
  return new TidemarkError(
    'WORKERS_DIVERGED',
    `The program is not the same on all threads. Where ${name} has\n${what}\n${otherName} has\n${otherWhat}\n` +
      'What create() and the functions of transform build must not depend on time, randomness or the thread.',
  );
}
