import { TidemarkError } from './base/errors.ts';
import type { Duration, Time } from './base/time.ts';
import { transformOf, unionOf } from './dstream/derived-nodes.ts';
import { DStream, type RddsOf } from './dstream/dstream.ts';
import { DStreamGraph } from './dstream/graph.ts';
import { SourceNode } from './dstream/source-node.ts';
import type { UidOption } from './dstream/stateful-node.ts';
import { ActiveContext } from './execution/active-context.ts';
import { CheckpointPlace } from './execution/checkpoint-place.ts';
import { type ContextSettings, contextSettings, type StreamingContextOptions } from './execution/context-options.ts';
import type { GivenUp } from './execution/redeploy.ts';
import { type StreamingContextStatus, StreamLife } from './execution/stream-life.ts';
import { azureHotPrices, type CheckpointMetrics, type RequestPrices } from './observe/checkpoint-metrics.ts';
import type { StreamingListener } from './observe/streaming-listener.ts';
import type { RDD } from './rdd/rdd.ts';
import type { RddContext } from './rdd/rdd-context.ts';
import { prefixFilesSink } from './sinks/prefix-files.ts';
import type { EventHubEvent } from './sources/event-hubs/event-hub-event.ts';
import type { EventHubOptions } from './sources/event-hubs/event-hub-options.ts';
import { eventHubSource } from './sources/event-hubs/event-hub-source.ts';
import {
  binaryRecordsSource,
  type FileReadOptions,
  type FileStreamOptions,
  fileSource,
  textFileSource,
} from './sources/files/file-source.ts';
import { constantSource } from './sources/queue/constant-source.ts';
import { type QueueEntry, queueSource } from './sources/queue/queue-source.ts';
import { type RateOptions, type RateRow, rateSource } from './sources/queue/rate-source.ts';
import type { Receiver } from './sources/receiver/receiver.ts';
import type { ReceiverOptions } from './sources/receiver/receiver-options.ts';
import { receiverSource } from './sources/receiver/receiver-source.ts';
import type { SocketConverter } from './sources/sockets/socket-receiver.ts';
import {
  rawSocketSource,
  type SocketOptions,
  socketSource,
  socketTextSource,
} from './sources/sockets/socket-source.ts';
import type { Source } from './sources/source.ts';
import { type InputDefaults, withSparkSettings } from './spark-settings.ts';
import type { ObjectStore } from './storage/object-store.ts';
import { type CheckpointStorageOptions, openCheckpointStore, withEncryption } from './storage/open-checkpoint-store.ts';
import { workerRole } from './workers/worker-role.ts';

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
  /** What `settings` says about inputs that don't say it themselves. */
  readonly #inputs: InputDefaults;
  readonly #graph: DStreamGraph;
  readonly #checkpoint = new CheckpointPlace();
  readonly #givenUp: GivenUp & { readonly state: Set<string>; readonly sources: Set<string> } = {
    state: new Set(),
    sources: new Set(),
  };
  readonly #life: StreamLife;

  /** @throws OPTION_INVALID */
  constructor(options: StreamingContextOptions) {
    const { options: translated, checkpointUrl, inputs } = withSparkSettings(options);
    this.#inputs = inputs;
    this.#settings = contextSettings(translated);
    this.appName = this.#settings.appName;
    this.#graph = new DStreamGraph(
      this.#settings.batchIntervalMs,
      this.#settings.defaultParallelism,
      () => this.#requireInitialized('Adding inputs, transformations and output operations'),
      prefixFilesSink,
    );
    const { graph, checkpoint, givenUp } = {
      graph: this.#graph,
      checkpoint: this.#checkpoint,
      givenUp: this.#givenUp,
    };
    this.#life = new StreamLife(this.#settings, { graph, checkpoint, givenUp });
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
    options?: CheckpointStorageOptions,
  ): Promise<StreamingContext>;
  static async getActiveOrCreate(
    first: string | ObjectStore | Create,
    create?: Create,
    options?: CheckpointStorageOptions,
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
    options: CheckpointStorageOptions = {},
  ): Promise<StreamingContext> {
    // What a checkpoint holds is the driver's; a worker has the program only.
    if (workerRole() !== undefined) return create();
    const owned = typeof checkpoint === 'string';
    const store = owned
      ? await openCheckpointStore(checkpoint, options)
      : withEncryption(checkpoint, options.encryption);
    try {
      const probe = options.probe ?? owned;
      const found = await new CheckpointPlace().find(store, probe);
      const context = await create();
      context.#requireInitialized('getOrCreate(): create() must not start the context; using it');
      const named = context.#checkpoint.url;
      if (named !== undefined && named !== checkpoint) {
        throw new TidemarkError(
          'OPTION_INVALID',
          `getOrCreate was given ${store.url}, and the context it created names another checkpoint, ${named}.`,
        );
      }
      context.#checkpoint.attach({ store, found, owned, probe });
      return context;
    } catch (error) {
      if (owned) await store.close();
      throw error;
    }
  }

  /** Where to keep the checkpoint of a new stream. To go on from an existing one use {@link StreamingContext.getOrCreate}. */
  checkpoint(url: string, options: CheckpointStorageOptions = {}): void {
    this.#requireInitialized('checkpoint()');
    this.#checkpoint.name(url, options);
  }

  /** A direct stream of an event hub. Source: the Event Hubs connector's `createDirectStream`. */
  eventHubStream(options: EventHubOptions & UidOption = {}): DStream<EventHubEvent> {
    const { uid, ...rest } = options;
    return this.sourceStream(eventHubSource(rest), { uid });
  }

  /** What a receiver stores: see {@link Receiver}. @throws OPTION_INVALID */
  receiverStream<T>(receiver: Receiver<T>, { uid, ...own }: ReceiverOptions & UidOption = {}): DStream<T> {
    return this.sourceStream(receiverSource(receiver, { ...this.#inputs.receivers, ...own }), { uid });
  }

  /** Lines of UTF-8 that a server sends. What was under way when a connection or this process ended is lost. */
  socketTextStream(host: string, port: number, { uid, ...own }: SocketOptions & UidOption = {}): DStream<string> {
    return this.sourceStream(socketTextSource(host, port, { ...this.#inputs.receivers, ...own }), { uid });
  }

  /** The rows `convert` makes of what a server sends. What was under way when a connection or this process ended is lost. */
  socketStream<T>(
    host: string,
    port: number,
    convert: SocketConverter<T>,
    { uid, ...own }: SocketOptions & UidOption = {},
  ): DStream<T> {
    return this.sourceStream(socketSource(host, port, convert, { ...this.#inputs.receivers, ...own }), { uid });
  }

  /** Blocks that a server sends: each a length (4 bytes, big-endian) and the rows as one MessagePack array. */
  rawSocketStream<T>(host: string, port: number, { uid, ...own }: SocketOptions & UidOption = {}): DStream<T> {
    return this.sourceStream(rawSocketSource<T>(host, port, { ...this.#inputs.receivers, ...own }), { uid });
  }

  /** Lines of the files that appear in a folder: a path, or a storage URL. @throws OPTION_INVALID, URL_INVALID */
  textFileStream(folder: string, { uid, ...own }: FileStreamOptions & UidOption = {}): DStream<string> {
    return this.sourceStream(textFileSource(folder, { ...this.#inputs.files, ...own }), { uid });
  }

  /** What `read` makes of the files that appear in a folder; lines without it. @throws OPTION_INVALID, URL_INVALID */
  fileStream<T = string>(folder: string, { uid, ...own }: FileReadOptions<T> & UidOption = {}): DStream<T> {
    return this.sourceStream(fileSource<T>(folder, { ...this.#inputs.files, ...own }), { uid });
  }

  /** Records of `recordLength` bytes of the files that appear in a folder. @throws OPTION_INVALID, URL_INVALID */
  binaryRecordsStream(
    folder: string,
    recordLength: number,
    { uid, ...own }: FileStreamOptions & UidOption = {},
  ): DStream<Uint8Array> {
    return this.sourceStream(binaryRecordsSource(folder, recordLength, { ...this.#inputs.files, ...own }), { uid });
  }

  /** Arrays of rows from a queue that may be filled while it runs, one per batch or all that are there: for tests. */
  queueStream<T>(
    queue: QueueEntry<T>[],
    oneAtATime = true,
    defaultRows?: QueueEntry<T> | null,
    options: UidOption = {},
  ): DStream<T> {
    return this.sourceStream(queueSource(queue, oneAtATime, defaultRows ?? undefined), options);
  }

  /** The same rows in every batch: for tests. */
  constantStream<T>(rows: readonly T[], options: UidOption = {}): DStream<T> {
    return this.sourceStream(constantSource(rows), options);
  }

  /** Numbered rows at a steady rate: for tests and demos. @throws OPTION_INVALID */
  rateStream(rowsPerSecond: number, { uid, ...own }: RateOptions & UidOption = {}): DStream<RateRow> {
    return this.sourceStream(rateSource(rowsPerSecond, own), { uid });
  }

  /** A stream of any replayable source. */
  sourceStream<T>(source: Source<T>, options: UidOption = {}): DStream<T> {
    return new DStream(new SourceNode<T>(this.#graph, source, options.uid));
  }

  /** The rows of all streams, in their order. They must belong to this context and have one slide. @throws GRAPH_INVALID */
  union<T>(streams: readonly DStream<T>[]): DStream<T> {
    return new DStream(unionOf(streams.map(({ node }) => node)));
  }

  /** A stream made from the RDDs of several, which `f` gets in their order, once per batch. @throws GRAPH_INVALID */
  transform<const S extends readonly DStream<unknown>[], U>(
    streams: S,
    f: (rdds: RddsOf<S>, time: Time) => RDD<U>,
  ): DStream<U> {
    const nodes = streams.map(({ node }) => node);
    return new DStream(transformOf('transform', nodes, (rdds, time) => f(rdds as unknown as RddsOf<S>, time)));
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
    this.#givenUp.state.add(uid);
  }

  /**
   * Gives up the stored position of an input that the program no longer has, and what was planned of it and not committed.
   * An input that takes its place has a uid of its own. The call may stay.
   */
  dropSource(uid: string): void {
    this.#requireInitialized('dropSource()');
    this.#givenUp.sources.add(uid);
  }

  addStreamingListener(listener: StreamingListener): void {
    this.#life.listeners.add(listener);
  }

  removeStreamingListener(listener: StreamingListener): void {
    this.#life.listeners.remove(listener);
  }

  /**
   * What the commits of this driver took and cost so far; undefined without a checkpoint, and until the start is through.
   * `prices`: USD per 10,000 requests, by default those of {@link azureHotPrices}.
   */
  checkpointMetrics(prices: Partial<RequestPrices> = {}): CheckpointMetrics | undefined {
    return this.#life.meter?.metrics({ ...azureHotPrices, ...prices });
  }

  /** Where RDDs, broadcast values and accumulators are made. Source: Spark's `sparkContext`. */
  get rdds(): RddContext {
    return this.#life.rdds;
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
    const worker = workerRole();
    if (worker !== undefined) return this.#life.handOver(worker);
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
