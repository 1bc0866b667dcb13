import { TidemarkError } from './base/errors.ts';
import type { Duration, Time } from './base/time.ts';
import { readCheckpoint } from './checkpoint/read-checkpoint.ts';
import { DStream, type RddsOf, transformStreams, unionStreams } from './dstream/dstream.ts';
import { DStreamGraph } from './dstream/graph.ts';
import { SourceNode } from './dstream/source-node.ts';
import type { UidOption } from './dstream/stateful-node.ts';
import { ActiveContext } from './execution/active-context.ts';
import { CheckpointPlace } from './execution/checkpoint-place.ts';
import { type ContextSettings, contextSettings, type StreamingContextOptions } from './execution/context-options.ts';
import { type StreamingContextStatus, StreamLife } from './execution/stream-life.ts';
import type { StreamingListener } from './observe/streaming-listener.ts';
import type { RDD } from './rdd/rdd.ts';
import { prefixFilesSink } from './sinks/prefix-files.ts';
import type { EventHubEvent } from './sources/event-hubs/event-hub-event.ts';
import type { EventHubOptions } from './sources/event-hubs/event-hub-options.ts';
import { eventHubSource } from './sources/event-hubs/event-hub-source.ts';
import type { Source } from './sources/source.ts';
import { withSparkSettings } from './spark-settings.ts';
import type { ObjectStore } from './storage/object-store.ts';
import { openObjectStore, type StoreOptions } from './storage/open-store.ts';

/** The status by the names Spark has for it. */
export type StreamingContextState = 'INITIALIZED' | 'ACTIVE' | 'STOPPED';

export interface StopOptions {
  /** Process what has arrived before stopping. Default false. */
  readonly graceful?: boolean | undefined;
  /** Bound of a graceful stop. Default: `gracefulStopTimeout` of the context. */
  readonly timeout?: Duration | undefined;
}

type Create = () => StreamingContext | Promise<StreamingContext>;

/**
 * A streaming application: its inputs, its graph of streams, and the driver that runs it batch by batch.
 *
 * Define inputs, streams and outputs, then `start`. With a checkpoint URL, a new process that calls
 * {@link StreamingContext.getOrCreate} with the same URL goes on exactly where the last one was.
 * Source: Spark's `StreamingContext`.
 */
export class StreamingContext {
  static readonly #active = new ActiveContext<StreamingContext>();

  readonly appName: string;
  readonly #settings: ContextSettings;
  readonly #graph: DStreamGraph;
  readonly #checkpoint = new CheckpointPlace();
  readonly #droppedState = new Set<string>();
  readonly #life: StreamLife;

  /** @throws OPTION_INVALID */
  constructor(options: StreamingContextOptions) {
    const { options: translated, checkpointUrl } = withSparkSettings(options);
    this.#settings = contextSettings(translated);
    this.appName = this.#settings.appName;
    this.#graph = new DStreamGraph(
      this.#settings.batchIntervalMs,
      this.#settings.defaultParallelism,
      () => this.#requireInitialized('Adding inputs, transformations and output operations'),
      prefixFilesSink,
    );
    const { graph, checkpoint, droppedState } = {
      graph: this.#graph,
      checkpoint: this.#checkpoint,
      droppedState: this.#droppedState,
    };
    this.#life = new StreamLife(this.#settings, { graph, checkpoint, droppedState });
    if (checkpointUrl !== undefined) this.checkpoint(checkpointUrl);
  }

  /** The context of this process that runs: from a start that succeeded to its stop. */
  static getActive(): StreamingContext | undefined {
    return StreamingContext.#active.current;
  }

  /** The active context, or else what `create` or, with a checkpoint, {@link StreamingContext.getOrCreate} gives. */
  static getActiveOrCreate(create: Create): Promise<StreamingContext>;
  static getActiveOrCreate(
    checkpoint: string | ObjectStore,
    create: Create,
    options?: StoreOptions,
  ): Promise<StreamingContext>;
  static async getActiveOrCreate(
    first: string | ObjectStore | Create,
    create?: Create,
    options?: StoreOptions,
  ): Promise<StreamingContext> {
    const active = StreamingContext.getActive();
    if (active !== undefined) return active;
    if (typeof first === 'function') return first();
    if (create !== undefined) return StreamingContext.getOrCreate(first, create, options);
    throw new TidemarkError('OPTION_INVALID', 'getActiveOrCreate() was given a checkpoint and no function to create.');
  }

  /**
   * The stream stored at `checkpoint` (a URL, or an opened store), or a new one if nothing is there. `create` always
   * runs and builds the program with today's code and settings; the checkpoint brings positions, state and pending batches.
   *
   * @throws CHECKPOINT_CORRUPT when something is there that can't be read: never a fresh start by itself.
   */
  static async getOrCreate(
    checkpoint: string | ObjectStore,
    create: Create,
    options: StoreOptions = {},
  ): Promise<StreamingContext> {
    const owned = typeof checkpoint === 'string';
    const store = owned ? await openObjectStore(checkpoint, options) : checkpoint;
    try {
      const found = await readCheckpoint(store);
      const context = await create();
      context.#requireInitialized('getOrCreate(): create() must not start the context; using it');
      const named = context.#checkpoint.url;
      if (named !== undefined && named !== checkpoint) {
        throw new TidemarkError(
          'OPTION_INVALID',
          `getOrCreate was given ${store.url}, and the context it created names another checkpoint, ${named}.`,
        );
      }
      context.#checkpoint.attach({ store, found, owned });
      return context;
    } catch (error) {
      if (owned) await store.close();
      throw error;
    }
  }

  /** Where to keep the checkpoint of a new stream. To go on from an existing one use {@link StreamingContext.getOrCreate}. */
  checkpoint(url: string, options: StoreOptions = {}): void {
    this.#requireInitialized('checkpoint()');
    this.#checkpoint.name(url, options);
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
    this.#life.listeners.add(listener);
  }

  removeStreamingListener(listener: StreamingListener): void {
    this.#life.listeners.remove(listener);
  }

  get status(): StreamingContextStatus {
    return this.#life.status;
  }

  /** Source: Spark's `getState`. */
  getState(): StreamingContextState {
    return this.status.toUpperCase() as Uppercase<StreamingContextStatus>;
  }

  /**
   * Takes the stream over and runs it. Resolves when the first batch can run. Once more on a running context it changes
   * nothing. A start that fails ends the context.
   * @throws GRAPH_INVALID, CHECKPOINT_EXISTS, CHECKPOINT_INCOMPATIBLE, and what sources, sinks and the store refuse.
   * STATUS_INVALID when this context has ended, or another one runs in this process.
   */
  async start(): Promise<void> {
    if (this.status === 'active') {
      this.#settings.ports.warn(`'${this.appName}' has been started already; this start() changes nothing.`);
      return this.#life.started;
    }
    this.#requireInitialized('start()');
    const active = StreamingContext.#active;
    if (this.#settings.allowSeveral) return this.#life.start(() => {});
    active.claim(this);
    await this.#life.start(() => active.release(this));
    active.started(this);
  }

  /**
   * Ends the application, in any status and repeatedly; resolves when it has ended. Called by code that the stream runs (a
   * function, an output, a listener) it resolves at once, because the end waits for that code. Errors come from
   * `awaitTermination`. What was not processed is safe: the next start goes on with it.
   */
  stop(options: StopOptions = {}): Promise<void> {
    return this.#life.stop({
      graceful: options.graceful ?? false,
      timeoutMs: options.timeout?.milliseconds ?? this.#settings.gracefulStopTimeoutMs,
    });
  }

  /** Resolves when the application was stopped; rejects with the first error that ended it. */
  awaitTermination(): Promise<void> {
    return this.#life.ended;
  }

  /** True: stopped; false: `timeout` has passed. Rejects with the first error. */
  async awaitTerminationOrTimeout(timeout: Duration): Promise<boolean> {
    const { clock } = this.#settings.ports;
    const giveUp = new AbortController();
    const timedOut = clock.waitUntil(clock.now() + timeout.milliseconds, giveUp.signal).then(
      () => false,
      () => false,
    );
    try {
      return await Promise.race([this.#life.ended.then(() => true), timedOut]);
    } finally {
      giveUp.abort();
    }
  }

  #requireInitialized(what: string): void {
    if (this.status === 'initialized') return;
    throw new TidemarkError(
      'STATUS_INVALID',
      `${what} after starting or stopping a context is not supported; the context is ${this.status}. ` +
        'Define the whole program first; after stop() build a new StreamingContext.',
    );
  }
}
