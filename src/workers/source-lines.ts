import { TidemarkError, toError } from '../base/errors.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import { isDivisible, type Source, type SourceLine, type SourceLineListener } from '../sources/source.ts';
import { fromErrorRecord } from './error-record.ts';
import type { PartCall, PartMessage } from './protocol.ts';
import type { Team } from './team.ts';

/** True: instances of worker threads read it, so that its rows begin where they are used. */
export function isReadByWorkers(source: Source<unknown>): boolean {
  return source.startReading !== undefined || isDivisible(source);
}

/**
 * From the divided sources of the driver to their instances in the worker threads. Outlives the threads: a source is told
 * when others have taken their place, and what it had asked the lost ones fails with CANCELLED.
 */
export class SourceLines {
  readonly #team: () => Promise<Team>;
  /** By uid and worker. */
  readonly #listeners = new Map<string, (SourceLineListener | undefined)[]>();

  constructor(team: () => Promise<Team>) {
    this.#team = team;
  }

  /** Before the sources are started. */
  divide(graph: DStreamGraph, workers: number): void {
    for (const { uid, source } of graph.sources) {
      if (!isDivisible(source)) continue;
      const listeners = new Array<SourceLineListener | undefined>(workers).fill(undefined);
      this.#listeners.set(uid, listeners);
      source.divide(listeners.map((_, worker) => this.#line(uid, worker, listeners)));
    }
  }

  told(worker: number, { uid, message, error }: PartMessage): void {
    const listener = this.#listeners.get(uid)?.[worker];
    if (error === undefined) listener?.told(message);
    else listener?.failed(fromErrorRecord(error));
  }

  /** All threads are others now. */
  replaced(): void {
    for (const listeners of this.#listeners.values()) for (const listener of listeners) listener?.replaced();
  }

  #line(uid: string, worker: number, listeners: (SourceLineListener | undefined)[]): SourceLine {
    return {
      ask: (question) => this.#ask(worker, { uid, question }),
      listen: (listener) => {
        listeners[worker] = listener;
      },
    };
  }

  async #ask(worker: number, call: PartCall): Promise<unknown> {
    try {
      const team = await this.#team();
      return await team.link(worker).call('part', call);
    } catch (error) {
      if (!(error instanceof TidemarkError && error.code === 'WORKER_LOST')) throw toError(error);
      throw new TidemarkError('CANCELLED', `Worker thread ${worker} has ended.`, { cause: error });
    }
  }
}
