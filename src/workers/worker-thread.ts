import { SystemClock } from '../base/clock.ts';
import { invariant, TidemarkError } from '../base/errors.ts';
import type { LoopBlockedInfo } from '../base/loop-blocked.ts';
import { type Random, SeededRandom } from '../base/random.ts';
import { Batch, type Placement } from '../dstream/batch.ts';
import type { StatefulNode } from '../dstream/stateful-node.ts';
import type { StreamNode } from '../dstream/stream-node.ts';
import { InProcessRunner } from '../rdd/in-process-runner.ts';
import type { RDD } from '../rdd/rdd.ts';
import { StageRunner, type StageRunnerOptions } from '../rdd/stage-runner.ts';
import type { JobRunner, TaskContext } from '../rdd/task.ts';
import { type DriverLine, isDivisible } from '../sources/source.ts';
import { decodeRows } from './block-codec.ts';
import { CollectiveRunner } from './collective-runner.ts';
import { toErrorRecord } from './error-record.ts';
import { Exchange } from './exchange.ts';
import { shapeOf } from './graph-shape.ts';
import { signatureOf } from './lineage.ts';
import { type ChannelEnd, Link, type Reading, unknownRequest } from './link.ts';
import type {
  BatchMessage,
  LineageMessage,
  PartCall,
  PartMessage,
  PrepareCall,
  Prepared,
  ReadyCall,
  RowsRead,
  SourceRead,
  WorkerStart,
} from './protocol.ts';
import { currentScope, runInScope } from './scopes.ts';
import { isReadByWorkers } from './source-lines.ts';
import type { BuiltProgram, WorkerRole } from './worker-role.ts';
import { WorkerState } from './worker-state.ts';

/** One worker: builds the program, then does for each batch what the driver asks for, together with the other workers. */
export class WorkerThread implements WorkerRole {
  readonly random: Random;
  readonly #index: number;
  readonly #driver: Link;
  readonly #peers: readonly (Link | undefined)[];
  readonly #exchange: Exchange;
  readonly #cancel = new AbortController();
  readonly #runners = new Map<JobRunner, SwitchedRunner>();
  readonly #batches = new Map<number, Batch>();
  /** By uid: what answers the driver's instance of a divided source. */
  readonly #parts = new Map<string, (question: unknown) => Promise<unknown>>();
  #program: BuiltProgram | undefined;
  #runner: CollectiveRunner | undefined;
  #state: WorkerState | undefined;

  constructor({ index, seed, ports }: WorkerStart<ChannelEnd>, driver: ChannelEnd) {
    this.#index = index;
    this.random = new SharedRandom(seed);
    const place = { worker: index };
    this.#driver = new Link(
      driver,
      {
        call: (name, argument) => this.#answer(name, argument),
        tell: (name, argument) => this.#take(name, argument),
        read: (_name, argument) => this.#readRows(argument as RowsRead),
      },
      place,
    );
    this.#peers = ports.map((port, from) => {
      if (port === undefined) return undefined;
      return new Link(
        port,
        {
          call: async (name) => {
            throw unknownRequest(name);
          },
          tell: (name, argument) => this.#exchange.receive(from, name as 'blocks' | 'done', argument),
          read: (_name, argument) => this.#readOther(argument),
        },
        place,
      );
    });
    this.#exchange = new Exchange(index, this.#peers);
  }

  get hasProgram(): boolean {
    return this.#program !== undefined;
  }

  readonly warn = (text: string): void => {
    this.#driver.tell('warn', `Worker ${this.#index}: ${text}`);
  };

  readonly loopBlocked = (info: LoopBlockedInfo): void => {
    this.#driver.tell('loopBlocked', info);
  };

  createRunner(options: Omit<StageRunnerOptions, 'signal'>): JobRunner {
    const runner = new SwitchedRunner({ ...options, signal: this.#cancel.signal });
    this.#runners.set(runner, runner);
    return runner;
  }

  handOver(program: BuiltProgram): Promise<never> {
    if (this.#program === undefined) {
      this.#program = program;
      this.#begin(program).catch((error) => this.fail(error));
    }
    return new Promise(() => {});
  }

  /** This worker can't work: the driver's start fails with it. */
  fail(error: unknown): void {
    this.#driver.tell('unusable', { error: toErrorRecord(error, { worker: this.#index }) });
  }

  async #begin({ graph, rdds, runner: given }: BuiltProgram): Promise<void> {
    const switched = this.#runners.get(given);
    invariant(switched !== undefined, 'A program of a worker has a runner that is not of the worker.');
    this.#runner = new CollectiveRunner({
      index: this.#index,
      links: this.#peers,
      exchange: this.#exchange,
      stages: switched.stages,
      accumulators: () => rdds.programAccumulators,
      count: (updates) => this.#driver.tell('updates', updates),
    });
    switched.switchTo(this.#runner);
    const isHome = (partition: number): boolean => partition % this.#peers.length === this.#index;
    this.#state = new WorkerState({ graph, turns: rdds.turns, isHome });
    for (const { uid, source } of graph.sources) {
      await source.startReading?.({ clock: new SystemClock(), warn: (text) => this.#driver.tell('warn', text) });
      if (isDivisible(source)) this.#parts.set(uid, source.serve(this.#driverLine(uid)));
    }
    await this.#driver.call('ready', { shape: shapeOf(graph) } satisfies ReadyCall);
  }

  #driverLine(uid: string): DriverLine {
    const tell = (message: PartMessage): void => this.#driver.tell('part', message);
    return {
      tell: (message) => tell({ uid, message }),
      fail: (error) => tell({ uid, error: toErrorRecord(error, { worker: this.#index }) }),
    };
  }

  #take(name: string, argument: unknown): void {
    switch (name) {
      case 'batch':
        this.#beginBatch(argument as BatchMessage);
        return;
      case 'end':
        this.#batches.delete(argument as number);
        this.#runner?.forget(argument as number);
        this.#program?.rdds.watch?.batchEnded();
        return;
      case 'cancel':
        this.#stop();
        return;
      default:
        throw unknownRequest(name);
    }
  }

  async #answer(name: string, argument: unknown): Promise<unknown> {
    switch (name) {
      case 'prepare':
        return this.#prepare(argument as PrepareCall);
      case 'advance':
        return this.#advance(argument as PrepareCall);
      case 'part':
        return this.#answerPart(argument as PartCall);
      default:
        if (name.startsWith('state ')) return this.#state!.answer(name, argument);
        throw unknownRequest(name);
    }
  }

  /** Of one worker alone: it waits for nobody. */
  #answerPart({ uid, question }: PartCall): Promise<unknown> {
    const answer = this.#parts.get(uid);
    invariant(answer !== undefined, `Input '${uid}' is not divided among workers.`);
    return answer(question);
  }

  #stop(): void {
    const error = new TidemarkError('CANCELLED', 'The work of this thread was stopped on request.');
    this.#cancel.abort(error);
    this.#exchange.fail(error);
    this.#runner?.fail(error);
    for (const peer of this.#peers) peer?.fail(error);
    // A read that waits for the hub ends.
    for (const { source } of this.#program?.graph.sources ?? []) source.stop().catch(() => {});
  }

  #beginBatch(message: BatchMessage): void {
    const { plans, seed, ...fields } = message;
    const { graph, rdds } = this.#program!;
    const { batchId } = fields;
    this.#state!.beginBatch(message);
    const placement: Placement = {
      generate: ({ id, operator }, compute) =>
        runInScope({ key: `batch ${batchId}, stream #${id} ${operator}`, batchId, seed }, compute),
      readSource: (uid) => {
        const node = graph.sources.find((candidate) => candidate.uid === uid);
        if (node !== undefined && isReadByWorkers(node.source)) return undefined;
        return (partition, push) => this.#readFromDriver({ batchId, uid, partition }, push);
      },
    };
    this.#batches.set(batchId, new Batch({ ...fields, rdds, plans: new Map(plans), placement }));
  }

  async #readFromDriver(request: SourceRead, push: (chunk: readonly unknown[]) => void): Promise<void> {
    const reader = this.#driver.read('source', request);
    try {
      for (let block = await reader.next(); block !== undefined; block = await reader.next()) push(decodeRows(block));
    } catch (error) {
      reader.cancel();
      throw error;
    }
  }

  async #prepare(call: PrepareCall): Promise<Prepared> {
    const { batchId } = call;
    const key = keyOf(call);
    const rdd = this.#generate(call, key, (stream, batch) => stream.rdd(batch));
    if (rdd === undefined) return { numPartitions: undefined, updates: [] };
    await this.#runner!.prepare({ key, rdd, batchId });
    return { numPartitions: rdd.numPartitions, updates: this.#runner!.takeUpdates() };
  }

  async #advance(call: PrepareCall): Promise<Prepared> {
    const { batchId } = call;
    const key = `advance in ${keyOf(call)}`;
    const rdd = this.#generate(call, key, (stream, batch) =>
      runInScope({ key, batchId, seed: 0 }, () => (stream as StatefulNode<unknown>).advance(batch)),
    );
    if (rdd === undefined) return { numPartitions: undefined, updates: [] };
    await this.#runner!.advance({ key, rdd, batchId });
    return { numPartitions: rdd.numPartitions, updates: this.#runner!.takeUpdates() };
  }

  #generate(
    { batchId, node }: PrepareCall,
    key: string,
    generate: (stream: StreamNode<unknown>, batch: Batch) => RDD<unknown> | undefined,
  ): RDD<unknown> | undefined {
    const batch = this.#batches.get(batchId);
    invariant(batch !== undefined, `Batch ${batchId} is asked for, and is over or not begun.`);
    try {
      const rdd = generate(this.#program!.graph.streams[node]!, batch);
      const lineage = rdd === undefined ? 'no RDD' : signatureOf(rdd);
      this.#driver.tell('lineage', { key, lineage } satisfies LineageMessage);
      return rdd;
    } catch (error) {
      // The driver's thread has generated the same without an error, and other workers may wait for this one.
      this.fail(error);
      throw error;
    }
  }

  #readRows(read: RowsRead): Promise<Reading> {
    return this.#runner!.read(keyOf(read), read.partition);
  }

  async #readOther(argument: unknown): Promise<Reading> {
    invariant(this.#runner !== undefined, 'A worker that has no program yet is asked for rows.');
    return this.#runner.readOther(argument);
  }
}

function keyOf({ batchId, node }: PrepareCall): string {
  return `batch ${batchId}, stream #${node}`;
}

/** Runs jobs in this thread until the program is complete: those that `create` itself calls, the same on every thread. */
class SwitchedRunner implements JobRunner {
  readonly stages: StageRunner;
  readonly #local: InProcessRunner;
  #together: CollectiveRunner | undefined;
  /** That create() has made. */
  #shuffles = 0;

  constructor(options: StageRunnerOptions) {
    this.stages = new StageRunner(options);
    this.#local = new InProcessRunner(options);
  }

  switchTo(together: CollectiveRunner): void {
    this.#together = together;
  }

  run<T, R>(
    rdd: RDD<T>,
    task: (partition: number, context: TaskContext) => R | Promise<R>,
    partitions?: readonly number[],
  ): Promise<R[]> {
    return (this.#together ?? this.#local).run(rdd, task, partitions);
  }

  nameShuffle(): string {
    const scope = currentScope();
    return scope === undefined ? `the program/shuffle ${this.#shuffles++}` : `${scope.key}/shuffle ${scope.shuffles++}`;
  }

  pipeOther<T>(rdd: RDD<T>, partition: number, task: TaskContext, push: (row: T) => void): void | Promise<void> {
    if (this.#together === undefined) return rdd.pipe(partition, task, push);
    return this.#together.pipeOther(rdd, partition, task, push);
  }
}

/** The same numbers on every worker: those of the scope, or, while the program is built, of the start. */
class SharedRandom implements Random {
  readonly #start: Random;

  constructor(seed: number) {
    this.#start = new SeededRandom(seed);
  }

  next(): number {
    return (currentScope()?.random ?? this.#start).next();
  }

  id(): string {
    return (currentScope()?.random ?? this.#start).id();
  }
}
