import { TidemarkError } from '../../base/errors.ts';
import type { PushChunk, RateControlled, Source, SourceDelivery, SourcePlan, SourceStart } from '../source.ts';
import type { BlockKeeper } from './block-keeper.ts';
import { LoggedBlocks } from './logged-blocks.ts';
import { MemoryBlocks } from './memory-blocks.ts';
import { RateLimiter } from './rate-limiter.ts';
import type { Receiver } from './receiver.ts';
import { type ReceiverOptions, type ReceiverSettings, receiverSettings } from './receiver-options.ts';
import { ReceiverSupervisor } from './receiver-supervisor.ts';

/** A source that can be slowed down: see {@link RateControlled}. */
export interface ReceiverSource<T> extends Source<T>, RateControlled {}

/**
 * A stream of what a receiver stores. `kind`: what it is called in the graph; default `receiver`.
 * @throws OPTION_INVALID
 */
export function receiverSource<T>(
  receiver: Receiver<T>,
  options: ReceiverOptions = {},
  kind = 'receiver',
): ReceiverSource<T> {
  return new ReceivedSource(receiver, receiverSettings(options), kind);
}

const idleWaitMs = 10_000;

/**
 * Turns a receiver into a replayable source: blocks are kept (in a log on the checkpoint store, or in memory without
 * one) before they are planned, and until their batch is committed.
 *
 * Every batch takes all blocks that were kept by the time it is planned, in the order they came, one partition each.
 */
class ReceivedSource<T> implements ReceiverSource<T> {
  readonly kind: string;
  /** A log does not care where its rows came from: a socket on another host may go on. */
  readonly identity: Readonly<Record<string, string>> = {};
  readonly delivery: SourceDelivery;
  readonly #receiver: Receiver<T>;
  readonly #settings: ReceiverSettings;
  #run: RunningReceiver<T> | undefined;
  /** Asked for before the start. */
  #firstRate: number | undefined;
  #isStopped = false;

  constructor(receiver: Receiver<T>, settings: ReceiverSettings, kind: string) {
    this.#receiver = receiver;
    this.#settings = settings;
    this.kind = kind;
    this.delivery =
      kind === 'receiver'
        ? { guarantee: 'exactly once', why: 'from the moment storeAll has acknowledged a row' }
        : { guarantee: 'at most once', why: 'what a socket sent and the log does not hold yet is lost in a crash' };
  }

  async start(start: SourceStart): Promise<void> {
    const { clock, store, epoch, random, streamId, onReceiver, fail } = start;
    const position = parsePosition(start.position ?? 1);
    const blocks: BlockKeeper<T> =
      store === undefined
        ? new MemoryBlocks<T>()
        : await LoggedBlocks.open<T>({ store, epoch, position, clock, random, fail });
    const { maxRate, initialRate } = this.#settings;
    const limiter = new RateLimiter(clock, maxRate, initialRate);
    if (this.#firstRate !== undefined) limiter.setRate(this.#firstRate);
    const supervisor = new ReceiverSupervisor<T>({
      receiver: this.#receiver,
      streamId,
      settings: this.#settings,
      clock,
      limiter,
      blocks,
      report: onReceiver,
    });
    this.#run = { blocks, limiter, supervisor, start };
    supervisor.start();
  }

  position(): unknown {
    return this.#running().blocks.position;
  }

  async plan(): Promise<SourcePlan> {
    return this.#running().blocks.take();
  }

  adopt(plan: SourcePlan): void {
    this.#running().blocks.takeUpTo(plan.position as number);
  }

  async read(plan: SourcePlan, partition: number, push: PushChunk<T>): Promise<void> {
    await push(await this.#running().blocks.read(plan.partitions[partition]));
  }

  describePlan({ partitions }: SourcePlan): string {
    return `${partitions.length} ${partitions.length === 1 ? 'block' : 'blocks'}`;
  }

  committed(plan: SourcePlan): void {
    this.#run?.blocks.free(plan.position as number);
  }

  backlog(): number {
    return this.#run?.blocks.backlog ?? 0;
  }

  setRate(recordsPerSecond: number): void {
    if (this.#run === undefined) this.#firstRate = recordsPerSecond;
    else this.#run.limiter.setRate(recordsPerSecond);
  }

  async drain(): Promise<void> {
    await this.#run?.supervisor.stopReceiving();
    await this.#run?.blocks.idle();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    const run = this.#run;
    if (run === undefined) return;
    await run.supervisor.stopReceiving();
    const { clock } = run.start;
    const giveUp = new AbortController();
    const late = clock.waitUntil(clock.now() + idleWaitMs, giveUp.signal).catch(() => undefined);
    await Promise.race([run.blocks.idle(), late]);
    giveUp.abort();
    run.blocks.close();
  }

  #running(): RunningReceiver<T> {
    if (this.#isStopped) throw new TidemarkError('CANCELLED', `The ${this.kind} was stopped.`);
    if (this.#run === undefined) throw new TidemarkError('STATUS_INVALID', `The ${this.kind} has not been started.`);
    return this.#run;
  }
}

interface RunningReceiver<T> {
  readonly blocks: BlockKeeper<T>;
  readonly limiter: RateLimiter;
  readonly supervisor: ReceiverSupervisor<T>;
  readonly start: SourceStart;
}

/** The slot of the log that the next batch begins at. @throws CHECKPOINT_INCOMPATIBLE */
export function parsePosition(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 1) return value as number;
  throw new TidemarkError(
    'CHECKPOINT_INCOMPATIBLE',
    'The recorded position is not one of a receiver. Was the input of this uid another kind of source before?',
  );
}
