import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Turns } from '../../../src/base/turns.ts';
import { RddContext } from '../../../src/rdd/rdd-context.ts';
import { StageRunner } from '../../../src/rdd/stage-runner.ts';
import type { JobRunner } from '../../../src/rdd/task.ts';
import { CollectiveRunner } from '../../../src/workers/collective-runner.ts';
import { Exchange } from '../../../src/workers/exchange.ts';
import { type ChannelEnd, Link } from '../../../src/workers/link.ts';
import { runInScope } from '../../../src/workers/scopes.ts';

/** The parts of a worker that compute, all in this thread: real channels between them, no driver. */
export interface InThreadWorker {
  readonly index: number;
  readonly rdds: RddContext;
  readonly runner: CollectiveRunner;
  /** Bytes of blocks it has sent to the others. */
  readonly sentBytes: () => number;
}

export interface InThreadWorkers {
  readonly workers: readonly InThreadWorker[];
  /** The same work on all of them. */
  all<R>(work: (worker: InThreadWorker) => R): R[];
  close(): void;
}

export function startInThread(count: number, turns?: (worker: number) => Turns): InThreadWorkers {
  const ports = Array.from({ length: count }, () => new Array<MessagePort | undefined>(count).fill(undefined));
  for (let a = 0; a < count; a++) {
    for (let b = a + 1; b < count; b++) {
      const { port1, port2 } = new MessageChannel();
      ports[a]![b] = port1;
      ports[b]![a] = port2;
    }
  }
  const workers = ports.map((own, index): InThreadWorker => {
    let sentBytes = 0;
    const counted = (port: MessagePort): ChannelEnd => ({
      on: (event, listener) => port.on(event, listener),
      postMessage: (message, transfer = []) => {
        for (const { byteLength } of transfer) sentBytes += byteLength;
        port.postMessage(message, [...transfer]);
      },
    });
    const links = own.map((port, from) => {
      if (port === undefined) return undefined;
      return new Link(counted(port), {
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
      stages: new StageRunner({ turns: turns?.(index) }),
      accumulators: () => rdds.programAccumulators,
      count: () => {},
    });
    let shuffles = 0;
    const named: JobRunner = {
      run: (rdd, task, partitions) => runner.run(rdd, task, partitions),
      pipeOther: (rdd, partition, task, push) => runner.pipeOther(rdd, partition, task, push),
      nameShuffle: () => `shuffle ${shuffles++}`,
    };
    const rdds = new RddContext({ runner: named, random: new SeededRandom(7) });
    return { index, rdds, runner, sentBytes: () => sentBytes };
  });
  return {
    workers,
    all: (work) => workers.map((worker) => runInScope({ key: 'test', batchId: 1, seed: 0 }, () => work(worker))),
    close: () => {
      for (const port of ports.flat()) port?.close();
    },
  };
}
