import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { SeededRandom } from '../../../src/base/random.ts';
import { RddContext } from '../../../src/rdd/rdd-context.ts';
import { StageRunner } from '../../../src/rdd/stage-runner.ts';
import { CollectiveRunner } from '../../../src/workers/collective-runner.ts';
import { Exchange } from '../../../src/workers/exchange.ts';
import { type ChannelEnd, Link } from '../../../src/workers/link.ts';

/** The parts of a worker that compute, all in this thread: real channels between them, no driver. */
export interface InThreadWorker {
  readonly index: number;
  readonly rdds: RddContext;
  readonly runner: CollectiveRunner;
}

export interface InThreadWorkers {
  readonly workers: readonly InThreadWorker[];
  /** The same work on all of them. */
  all<R>(work: (worker: InThreadWorker) => R): R[];
  close(): void;
}

export function startInThread(count: number): InThreadWorkers {
  const ports = Array.from({ length: count }, () => new Array<MessagePort | undefined>(count).fill(undefined));
  for (let a = 0; a < count; a++) {
    for (let b = a + 1; b < count; b++) {
      const { port1, port2 } = new MessageChannel();
      ports[a]![b] = port1;
      ports[b]![a] = port2;
    }
  }
  const workers = ports.map((own, index): InThreadWorker => {
    const links = own.map((port, from) => {
      if (port === undefined) return undefined;
      return new Link(port as unknown as ChannelEnd, {
        call: async () => undefined,
        tell: (name, message) => exchange.receive(from, name as 'blocks' | 'done', message),
        read: (_name, request) => runner.readOther(request),
      });
    });
    const exchange = new Exchange(index, links);
    const runner: CollectiveRunner = new CollectiveRunner({
      index,
      links,
      exchange,
      stages: new StageRunner(),
      signal: new AbortController().signal,
      accumulators: () => rdds.programAccumulators,
      // The work of all workers calls its actions in one order.
      turn: async () => ({ done: () => {} }),
    });
    const rdds = new RddContext({ runner, random: new SeededRandom(7) });
    return { index, rdds, runner };
  });
  return {
    workers,
    all: (work) => workers.map((worker) => worker.runner.inScope('test', () => work(worker))),
    close: () => {
      for (const port of ports.flat()) port?.close();
    },
  };
}
