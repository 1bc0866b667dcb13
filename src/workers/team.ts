import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { TidemarkError } from '../base/errors.ts';
import type { LoopBlockedInfo } from '../base/loop-blocked.ts';
import type { Updates } from './collective-runner.ts';
import { fromErrorRecord } from './error-record.ts';
import { diverged } from './exchange.ts';
import { requireSameShape } from './graph-shape.ts';
import { type ChannelEnd, Link, type Reading, unknownRequest } from './link.ts';
import type { LineageMessage, PartMessage, ReadyCall, SourceRead, UnusableMessage, WorkerStart } from './protocol.ts';

/** What the workers want of the driver's thread. */
export interface TeamHost {
  /** See shapeOf. */
  readonly shape: readonly string[];
  readonly warn: (text: string) => void;
  readonly loopBlocked: (info: LoopBlockedInfo) => void;
  readonly readSource: (request: SourceRead) => Promise<Reading>;
  /** By the instance of a divided source in a worker. */
  readonly partTold: (worker: number, message: PartMessage) => void;
  /** What jobs of the program have added to accumulators. */
  readonly count: (updates: Updates) => void;
  /** The team has ended by itself; every question it had been asked has failed with the same error. */
  readonly lost: (team: Team, error: Error) => void;
}

// More are of batches long past.
const comparedMax = 1000;

/**
 * Worker threads that run one program together: from their start until the first of them ends. Threads hold their place in
 * the program in common, so none is replaced alone: a lost one ends the team, and the next team begins anew.
 */
export class Team {
  readonly #host: TeamHost;
  readonly #threads: readonly Worker[];
  readonly #links: readonly Link[];
  readonly #ready = Promise.withResolvers<void>();
  /** What the first thread to come has said a job reads from. */
  readonly #lineages = new Map<string, { readonly worker: number; readonly lineage: string }>();
  #readyCount = 0;
  #failure: Error | undefined;

  constructor(count: number, module: string, seed: number, host: TeamHost) {
    this.#host = host;
    const ports = connectAll(count);
    this.#threads = ports.map((own, index) => {
      const start: WorkerStart<MessagePort> = { index, count, module, seed, ports: own };
      const transferList = own.filter((port) => port !== undefined);
      return new Worker(entry, {
        workerData: start,
        transferList,
        argv: process.argv.slice(2),
        name: `tidemark ${index}`,
      });
    });
    this.#links = this.#threads.map((thread, index) => this.#linkTo(thread, index));
    this.#threads.forEach((thread, index) => {
      thread.on('error', (error) => this.#threadEnded(index, error));
      thread.on('exit', (code) => this.#threadEnded(index, new Error(`The thread ended with exit code ${code}.`)));
    });
    this.#ready.promise.catch(() => {}); // Whoever waits for it is told.
  }

  get count(): number {
    return this.#threads.length;
  }

  /** Resolves when all threads have built the same program as the driver. @throws WORKERS_DIVERGED, WORKER_LOST */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** @throws what it has ended with */
  requireWhole(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  link(worker: number): Link {
    return this.#links[worker]!;
  }

  tellAll(name: string, argument: unknown): void {
    for (const link of this.#links) link.tell(name, argument);
  }

  callAll(name: string, argument: unknown): Promise<unknown[]> {
    return this.callEach((link) => link.call(name, argument));
  }

  /**
   * Resolves with the answers of all workers, when all have answered: none goes on behind the back of a failure.
   * @throws of several failures that of the lowest partition
   */
  async callEach<R>(ask: (link: Link) => Promise<R>): Promise<R[]> {
    const settled = await Promise.allSettled(this.#links.map(ask));
    const failures = settled.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []));
    if (failures.length > 0) throw failures.reduce((a, b) => (partitionOf(b) < partitionOf(a) ? b : a));
    return settled.map((answer) => (answer as PromiseFulfilledResult<R>).value);
  }

  /** Nothing more is asked of it, and what was asked fails with `error`. The threads end with `close`. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const link of this.#links) link.fail(error);
    this.#ready.reject(error);
  }

  /** Resolves when no thread is left. */
  async close(): Promise<void> {
    this.fail(new TidemarkError('CANCELLED', 'The worker threads were stopped.'));
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  #linkTo(thread: Worker, index: number): Link {
    return new Link(thread as unknown as ChannelEnd, {
      call: async (name, argument) => {
        if (name !== 'ready') throw unknownRequest(name);
        this.#begun(index, argument as ReadyCall);
      },
      tell: (name, argument) => this.#told(index, name, argument),
      read: (_name, argument) => this.#host.readSource(argument as SourceRead),
    });
  }

  #begun(index: number, { shape }: ReadyCall): void {
    try {
      requireSameShape(this.#host.shape, shape, index);
    } catch (error) {
      this.#end(error as Error);
      throw error;
    }
    this.#readyCount += 1;
    if (this.#readyCount === this.count) this.#ready.resolve();
  }

  #told(index: number, name: string, argument: unknown): void {
    switch (name) {
      case 'warn':
        this.#host.warn(argument as string);
        return;
      case 'loopBlocked':
        this.#host.loopBlocked({ ...(argument as LoopBlockedInfo), worker: index });
        return;
      case 'unusable':
        this.#end(fromErrorRecord((argument as UnusableMessage).error));
        return;
      case 'part':
        this.#host.partTold(index, argument as PartMessage);
        return;
      case 'updates':
        this.#host.count(argument as Updates);
        return;
      case 'lineage':
        this.#compare(index, argument as LineageMessage);
        return;
      default:
        this.#end(unknownRequest(name));
    }
  }

  #compare(worker: number, { key, lineage }: LineageMessage): void {
    const first = this.#lineages.get(key);
    if (first === undefined) {
      this.#lineages.set(key, { worker, lineage });
      if (this.#lineages.size > comparedMax) this.#lineages.delete(this.#lineages.keys().next().value as string);
    } else if (first.lineage !== lineage) {
      const what = (text: string): string => `  ${key}: ${text}`;
      this.#end(diverged(`worker ${first.worker}`, what(first.lineage), `worker ${worker}`, what(lineage)));
    }
  }

  #threadEnded(index: number, cause: unknown): void {
    const why = cause instanceof Error ? cause.message : String(cause);
    this.#end(
      new TidemarkError('WORKER_LOST', `Worker thread ${index} has ended: ${why}`, {
        cause,
        context: { worker: index },
      }),
    );
  }

  #end(error: Error): void {
    if (this.#failure !== undefined) return;
    this.fail(error);
    this.#host.lost(this, error);
  }
}

/** That a task has failed for; of other failures the first counts. */
function partitionOf(error: unknown): number {
  const partition = error instanceof TidemarkError ? error.context.partition : undefined;
  return partition === undefined ? Number.POSITIVE_INFINITY : Number(partition);
}

// The sources run as they are, and what is published is compiled.
const entry = new URL(import.meta.url.endsWith('.ts') ? './worker-entry.ts' : './worker-entry.js', import.meta.url);

/** By worker: its ports to the others, by their number. */
function connectAll(count: number): (MessagePort | undefined)[][] {
  const ports = Array.from({ length: count }, () => new Array<MessagePort | undefined>(count).fill(undefined));
  for (let a = 0; a < count; a++) {
    for (let b = a + 1; b < count; b++) {
      const { port1, port2 } = new MessageChannel();
      ports[a]![b] = port1;
      ports[b]![a] = port2;
    }
  }
  return ports;
}
