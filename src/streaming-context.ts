import { type Clock, SystemClock } from './base/clock.ts';
import type { CrashHook } from './base/crash-points.ts';
import { TidemarkError, toError } from './base/errors.ts';
import { positiveInteger, requireKnownOptions } from './base/options.ts';
import { type Random, SystemRandom } from './base/random.ts';
import { Duration, type Time } from './base/time.ts';
import type { CheckpointOptions } from './checkpoint/checkpoint-options.ts';
import { readCheckpoint } from './checkpoint/read-checkpoint.ts';
import type { StreamCheckpoint } from './checkpoint/stream-checkpoint.ts';
import { DStream, type RddsOf, transformStreams, unionStreams } from './dstream/dstream.ts';
import { DStreamGraph } from './dstream/graph.ts';
import { SourceNode } from './dstream/source-node.ts';
import type { UidOption } from './dstream/stateful-node.ts';
import { BatchLoop, type StopRequest } from './execution/batch-loop.ts';
import type { Driver } from './execution/driver.ts';
import { startDriver } from './execution/recovery.ts';
import { ListenerBus, type StreamingListener } from './observe/streaming-listener.ts';
import { InProcessRunner } from './rdd/in-process-runner.ts';
import type { RDD } from './rdd/rdd.ts';
import { RddContext } from './rdd/rdd-context.ts';
import { prefixFilesSink } from './sinks/prefix-files.ts';
import type { EventHubEvent } from './sources/event-hubs/event-hub-event.ts';
import type { EventHubOptions } from './sources/event-hubs/event-hub-options.ts';
import { eventHubSource } from './sources/event-hubs/event-hub-source.ts';
import type { Source } from './sources/source.ts';
import type { ObjectStore } from './storage/object-store.ts';
import { openObjectStore, type StoreOptions } from './storage/open-store.ts';

export interface StreamingContextOptions {
  /** For logs and the checkpoint's settings. */
  readonly appName: string;
  /** Length of a batch; batch times are multiples of it. */
  readonly batchInterval: Duration;
  /** Partitions of a shuffle or a state when the operator names no number. Default 4. */
  readonly defaultParallelism?: number | undefined;
  /** See {@link EngineSettings}. Default false. */
  readonly planAhead?: boolean | undefined;
  /** Batch times missed while no driver ran that are run at a restart. Default 1,000. */
  readonly catchUpBatchesMax?: number | undefined;
  /** Tries of a task before its batch fails. Default 4, as in Spark. */
  readonly taskAttemptsMax?: number | undefined;
  /** Bounds and intervals of the checkpoint log. */
  readonly checkpoint?: Omit<CheckpointOptions, 'clock' | 'random' | 'crashHook' | 'signal'> | undefined;
  /** What the engine takes from outside; for tests and simulations. */
  readonly environment?: EngineEnvironment | undefined;
}

export interface EngineEnvironment {
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly crashHook?: CrashHook | undefined;
  /** Where `print()` goes. Default: standard output. */
  readonly print?: ((text: string) => void) | undefined;
  /** Where warnings go. Default: standard error. */
  readonly warn?: ((text: string) => void) | undefined;
}

export type StreamingContextStatus = 'initialized' | 'active' | 'stopped';

export interface StopOptions {
  /** Process what has arrived before stopping. Default false. */
  readonly graceful?: boolean | undefined;
  /** Bound of a graceful stop. Default: ten batch intervals, at least 10 s. */
  readonly timeout?: Duration | undefined;
}

/** The checkpoint this context runs on. */
interface Attached {
  readonly store: ObjectStore;
  readonly found: StreamCheckpoint | undefined;
  /** Opened by us, so closed by us. */
  readonly owned: boolean;
}

const optionNames = [
  'appName',
  'batchInterval',
  'defaultParallelism',
  'planAhead',
  'catchUpBatchesMax',
  'taskAttemptsMax',
  'checkpoint',
  'environment',
] as const satisfies readonly (keyof StreamingContextOptions)[];
const checkpointOptionNames = [
  'inlineBytesMax',
  'segmentBytesMax',
  'manifestEveryRecords',
  'manifestEveryBytes',
  'compactionAlpha',
  'retainManifests',
  'commitTimeoutMs',
  'silenceThresholdMs',
] as const satisfies readonly (keyof CheckpointOptions)[];
const environmentNames = [
  'clock',
  'random',
  'crashHook',
  'print',
  'warn',
] as const satisfies readonly (keyof EngineEnvironment)[];

/**
 * A streaming application: its inputs, its graph of streams, and the driver that runs it batch by batch.
 *
 * Define inputs, streams and outputs, then `start`. With a checkpoint URL, a new process that calls
 * {@link StreamingContext.getOrCreate} with the same URL goes on exactly where the last one was.
 * Source: Spark's `StreamingContext`.
 */
export class StreamingContext {
  readonly appName: string;
  readonly #options: StreamingContextOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #graph: DStreamGraph;
  readonly #listeners: ListenerBus;
  readonly #warn: (text: string) => void;
  readonly #droppedState = new Set<string>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #cancel = new AbortController();
  #status: StreamingContextStatus = 'initialized';
  #location: { readonly url: string; readonly options: StoreOptions } | undefined;
  #attached: Attached | undefined;
  #driver: Driver | undefined;
  #loop: BatchLoop | undefined;
  /** What came while `start` was still at work. */
  #failedBeforeLoop: Error | undefined;
  #stopBeforeLoop: StopRequest | undefined;

  /** @throws OPTION_INVALID */
  constructor(options: StreamingContextOptions) {
    requireKnownOptions('StreamingContext', options, optionNames);
    const { batchInterval, checkpoint = {}, environment = {} } = options;
    requireKnownOptions('StreamingContext checkpoint', checkpoint, checkpointOptionNames);
    requireKnownOptions('StreamingContext environment', environment, environmentNames);
    if (!(batchInterval instanceof Duration) || batchInterval.milliseconds < 1) {
      throw new TidemarkError(
        'OPTION_INVALID',
        `batchInterval is ${String(batchInterval)}; give a positive duration such as Seconds(1) or Milliseconds(100).`,
      );
    }
    this.appName = options.appName;
    this.#options = options;
    this.#clock = environment.clock ?? new SystemClock();
    this.#random = environment.random ?? new SystemRandom();
    this.#graph = new DStreamGraph(
      batchInterval.milliseconds,
      positiveInteger('defaultParallelism', options.defaultParallelism ?? 4),
      () => this.#requireInitialized('Adding inputs, transformations and output operations'),
      prefixFilesSink,
    );
    this.#warn = environment.warn ?? ((text) => console.error(text));
    this.#listeners = new ListenerBus((error) => this.#warn(`A streaming listener threw: ${toError(error).message}`));
    this.#ended.promise.catch(() => {}); // Reported by awaitTermination, which need not be waiting yet.
  }

  /**
   * The stream stored at `checkpoint` (a URL, or an opened store), or a new one if nothing is there. `create` always
   * runs and builds the program with today's code and settings; the checkpoint brings positions, state and pending batches.
   *
   * @throws CHECKPOINT_CORRUPT when something is there that can't be read: never a fresh start by itself.
   */
  static async getOrCreate(
    checkpoint: string | ObjectStore,
    create: () => StreamingContext | Promise<StreamingContext>,
    options: StoreOptions = {},
  ): Promise<StreamingContext> {
    const owned = typeof checkpoint === 'string';
    const store = owned ? await openObjectStore(checkpoint, options) : checkpoint;
    try {
      const found = await readCheckpoint(store);
      const context = await create();
      context.#requireInitialized('getOrCreate(): create() must not start the context; using it');
      if (context.#location !== undefined && context.#location.url !== checkpoint) {
        throw new TidemarkError(
          'OPTION_INVALID',
          `getOrCreate was given ${store.url}, and the context it created names another checkpoint, ${context.#location.url}.`,
        );
      }
      context.#attached = { store, found, owned };
      return context;
    } catch (error) {
      if (owned) await store.close();
      throw error;
    }
  }

  /** Where to keep the checkpoint of a new stream. To go on from an existing one use {@link StreamingContext.getOrCreate}. */
  checkpoint(url: string, options: StoreOptions = {}): void {
    this.#requireInitialized('checkpoint()');
    this.#location = { url, options };
  }

  /** A direct stream of an event hub. Source: the Event Hubs connector's `createDirectStream`. */
  eventHubStream(options: EventHubOptions & UidOption = {}): DStream<EventHubEvent> {
    const { uid, ...rest } = options;
    return this.sourceStream(eventHubSource(rest), { uid });
  }

  /** A stream of any replayable source. */
  sourceStream<T>(source: Source<T>, options: UidOption = {}): DStream<T> {
    return new DStream(new SourceNode<T>(this.#graph, source, options.uid));
  }

  /** The rows of all streams, in their order. They must belong to this context and have one slide. @throws GRAPH_INVALID */
  union<T>(streams: readonly DStream<T>[]): DStream<T> {
    return unionStreams(streams);
  }

  /** A stream made from the RDDs of several, which `f` gets in their order, once per batch. @throws GRAPH_INVALID */
  transform<const S extends readonly DStream<unknown>[], U>(
    streams: S,
    f: (rdds: RddsOf<S>, time: Time) => RDD<U>,
  ): DStream<U> {
    return transformStreams('transform', streams, (rdds, time) => f(rdds as unknown as RddsOf<S>, time));
  }

  /**
   * Keeps the rows of the batches of the last `duration` in memory, all sources and all streams that outputs depend on, so
   * that they can be read after their batch: see `DStream.slice`. Can be called once. @throws OPTION_INVALID
   */
  remember(duration: Duration): void {
    this.#requireInitialized('remember()');
    this.#graph.remembered.remember(duration);
  }

  /**
   * Gives up the stored state of an operator that the program no longer has, or has changed beyond recognition. Takes effect
   * once, at the first start with this call: the call may stay, and what the operator stores from then on is kept.
   */
  dropState(uid: string): void {
    this.#requireInitialized('dropState()');
    this.#droppedState.add(uid);
  }

  addStreamingListener(listener: StreamingListener): void {
    this.#listeners.add(listener);
  }

  removeStreamingListener(listener: StreamingListener): void {
    this.#listeners.remove(listener);
  }

  get status(): StreamingContextStatus {
    return this.#status;
  }

  /**
   * Takes the stream over and runs it. Resolves when the first batch can run.
   * @throws GRAPH_INVALID, CHECKPOINT_EXISTS, CHECKPOINT_INCOMPATIBLE, and what sources, sinks and the store refuse.
   */
  async start(): Promise<void> {
    this.#requireInitialized('start()');
    this.#status = 'active';
    try {
      this.#graph.validate();
      await this.#openCheckpoint();
      const { driver, info } = await startDriver({
        graph: this.#graph,
        droppedState: this.#droppedState,
        appName: this.appName,
        settings: {
          planAhead: this.#options.planAhead ?? false,
          catchUpBatchesMax: positiveInteger('catchUpBatchesMax', this.#options.catchUpBatchesMax ?? 1000),
        },
        ports: {
          clock: this.#clock,
          crash: this.#options.environment?.crashHook ?? (() => {}),
          print: this.#options.environment?.print ?? ((text) => console.log(text)),
          warn: this.#warn,
        },
        random: this.#random,
        rdds: this.#rddContext(),
        listeners: this.#listeners,
        checkpoint: this.#attached && { ...this.#attached, options: this.#options.checkpoint ?? {} },
        fail: (error) => this.#fail(error),
      });
      this.#driver = driver;
      this.#loop = new BatchLoop(driver, () => this.#cancelBatch());
      if (this.#failedBeforeLoop !== undefined) throw this.#failedBeforeLoop;
      if (this.#stopBeforeLoop !== undefined) this.#loop.stop(this.#stopBeforeLoop);
      this.#listeners.post((listener) => listener.onStreamingStarted?.(info));
    } catch (error) {
      await this.#end(toError(error));
      throw error;
    }
    this.#loop.run().then(
      () => this.#end(undefined),
      (error) => this.#end(toError(error)),
    );
  }

  /**
   * Ends the application, in any status and repeatedly; resolves when it has ended. Errors come from `awaitTermination`.
   * What was not processed is safe: the next start goes on with it.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    const request = {
      graceful: options.graceful ?? false,
      timeoutMs: options.timeout?.milliseconds ?? Math.max(10 * this.#graph.batchIntervalMs, 10_000),
    };
    if (this.#status === 'initialized') await this.#end(undefined);
    else if (this.#loop !== undefined) this.#loop.stop(request);
    else if (!this.#stopBeforeLoop || !request.graceful) this.#stopBeforeLoop = request;
    await this.#ended.promise.catch(() => {});
  }

  /** Resolves when the application was stopped; rejects with the first error that ended it. */
  awaitTermination(): Promise<void> {
    return this.#ended.promise;
  }

  /** True: stopped; false: `timeout` has passed. Rejects with the first error. */
  async awaitTerminationOrTimeout(timeout: Duration): Promise<boolean> {
    const giveUp = new AbortController();
    const timedOut = this.#clock.waitUntil(this.#clock.now() + timeout.milliseconds, giveUp.signal).then(
      () => false,
      () => false,
    );
    try {
      return await Promise.race([this.#ended.promise.then(() => true), timedOut]);
    } finally {
      giveUp.abort();
    }
  }

  async #openCheckpoint(): Promise<void> {
    if (this.#attached === undefined && this.#location !== undefined) {
      const store = await openObjectStore(this.#location.url, this.#location.options);
      this.#attached = { store, found: undefined, owned: true };
      if ((await readCheckpoint(store)) !== undefined) {
        throw new TidemarkError(
          'CHECKPOINT_EXISTS',
          `${store.url} already holds a stream. Go on from it with StreamingContext.getOrCreate(url, create), or give ` +
            'checkpoint() another URL for a new stream.',
        );
      }
    }
    const stateful = this.#graph.stateful.filter(({ mustCheckpoint }) => mustCheckpoint);
    if (this.#attached !== undefined || stateful.length === 0) return;
    const uids = stateful.map(({ uid }) => uid).join(', ');
    throw new TidemarkError(
      'GRAPH_INVALID',
      `The checkpoint directory has not been set, and ${uids} keep state. Call checkpoint(url) or use getOrCreate(url, create); ` +
        "'memory:name' keeps it in this process only.",
    );
  }

  #rddContext(): RddContext {
    const runner = new InProcessRunner({
      signal: this.#cancel.signal,
      taskAttemptsMax: positiveInteger('taskAttemptsMax', this.#options.taskAttemptsMax ?? 4),
    });
    return new RddContext({ runner, defaultParallelism: this.#graph.defaultParallelism });
  }

  /** Tasks end with CANCELLED, also those that wait for a source. Nothing is read any more after it. */
  #cancelBatch(): void {
    this.#cancel.abort();
    // `stop` is idempotent: what it throws is told by the one in `#end`.
    for (const { source } of this.#graph.sources) source.stop().catch(() => {});
  }

  #fail(error: Error): void {
    if (this.#loop === undefined) this.#failedBeforeLoop ??= error;
    else this.#loop.fail(error);
  }

  /** Releases what the driver held; after a clean end the log is closed with the receipts of the last batch. */
  async #end(failure: Error | undefined): Promise<void> {
    if (this.#status === 'stopped') return;
    this.#status = 'stopped';
    let error = failure;
    const attempt = async (work: () => Promise<unknown> | undefined): Promise<void> => {
      try {
        await work();
      } catch (thrown) {
        error ??= toError(thrown);
      }
    };
    if (error === undefined && this.#driver !== undefined) {
      const { log, ports, receipts } = this.#driver;
      await attempt(async () => {
        await ports.crash('stop:before-drain');
        await log?.drain(receipts);
      });
    }
    for (const { source } of this.#graph.sources) await attempt(() => source.stop());
    for (const output of this.#graph.outputs) if (output.kind === 'sink') await attempt(() => output.sink.close());
    const attached = this.#attached;
    if (attached?.owned) await attempt(() => attached.store.close());
    this.#listeners.post((listener) => listener.onStreamingStopped?.(error));
    if (error === undefined) this.#ended.resolve();
    else this.#ended.reject(error);
  }

  #requireInitialized(what: string): void {
    if (this.#status === 'initialized') return;
    throw new TidemarkError(
      'STATUS_INVALID',
      `${what} after starting or stopping a context is not supported; the context is ${this.#status}. ` +
        'Define the whole program first; after stop() build a new StreamingContext.',
    );
  }
}
