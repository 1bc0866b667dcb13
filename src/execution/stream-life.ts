import { SystemClock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import { formatLoopBlocked, type LoopBlockedInfo } from '../base/loop-blocked.ts';
import { Turns } from '../base/turns.ts';
import { requestPollMs } from '../checkpoint/checkpoint-options.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import { ListenerBus } from '../observe/listener-bus.ts';
import { InProcessRunner } from '../rdd/in-process-runner.ts';
import { LoopWatch } from '../rdd/loop-watch.ts';
import { RddContext } from '../rdd/rdd-context.ts';
import type { JobRunner } from '../rdd/task.ts';
import { WorkerGroup } from '../workers/worker-group.ts';
import { type WorkerRole, workerRole } from '../workers/worker-role.ts';
import { BatchLoop, type StopRequest } from './batch-loop.ts';
import type { CheckpointMeter } from './checkpoint-meter.ts';
import type { CheckpointPlace } from './checkpoint-place.ts';
import type { ContextSettings } from './context-options.ts';
import type { Driver } from './driver.ts';
import { isInside, runInside } from './inside-stream.ts';
import { startDriver } from './recovery.ts';
import type { GivenUp } from './redeploy.ts';
import { RequestPoll } from './request-poll.ts';
import { type Stoppable, shutdownHook } from './shutdown-hook.ts';
import { formatStartReport } from './start-report.ts';

export type StreamingContextStatus = 'initialized' | 'active' | 'stopped';

/** The program of a context, and where its stream stands. */
export interface StreamProgram {
  readonly graph: DStreamGraph;
  readonly checkpoint: CheckpointPlace;
  readonly givenUp: GivenUp;
}

/**
 * The life of a stream in this process: initialized, active, stopped, once and in this order.
 *
 * Owns the driver, the batch loop, the listeners and the order in which an end releases them. Does not own what may be
 * added to the program when, nor which context of the process is the active one: both are the context's.
 *
 * Invariants
 *   L1. Whatever ends it (stop, a failed start, a failed batch, a signal), all that was opened is closed once, then the
 *       listeners are told, then whoever waits.
 *   L2. The first error is what ends it; what fails while it is being ended never hides it.
 *   L3. Code the stream has called is never waited for by itself: a stop from there resolves at once.
 */
export class StreamLife implements Stoppable {
  readonly listeners: ListenerBus;
  readonly rdds: RddContext;
  readonly #settings: ContextSettings;
  readonly #runner: JobRunner;
  readonly #program: StreamProgram;
  readonly #ended = Promise.withResolvers<void>();
  readonly #cancel = new AbortController();
  #status: StreamingContextStatus = 'initialized';
  #started: Promise<void> | undefined;
  #driver: Driver | undefined;
  #workers: WorkerGroup | undefined;
  /** Beside the reading of the checkpoint. */
  #starting: Promise<WorkerGroup | undefined> | undefined;
  #loop: BatchLoop | undefined;
  #isStopRequested = false;
  /** What came while the start was still at work. */
  #failedBeforeLoop: Error | undefined;
  #stopBeforeLoop: StopRequest | undefined;
  #release: () => void = () => {};

  constructor(settings: ContextSettings, program: StreamProgram) {
    this.#settings = settings;
    this.#program = program;
    this.listeners = new ListenerBus({
      queueLengthMax: settings.listenerQueueLengthMax,
      enter: (call) => runInside(this, call),
      warn: settings.ports.warn,
      clock: new SystemClock(),
    });
    const { taskAttemptsMax } = settings;
    const role = workerRole();
    const random = role?.random ?? settings.random;
    const { defaultParallelism } = program.graph;
    // On a clock of the caller only that clock says what happens when: nobody looks at the wall's.
    const turns = new Turns({ now: settings.ports.clock instanceof SystemClock ? undefined : () => 0 });
    const watch = this.#loopWatch(turns, role);
    this.#runner =
      role?.createRunner({ taskAttemptsMax, turns, watch }) ??
      new InProcessRunner({ signal: this.#cancel.signal, taskAttemptsMax, turns, watch });
    this.rdds = new RddContext({ runner: this.#runner, defaultParallelism, random, turns, watch });
    this.#ended.promise.catch(() => {}); // Reported by awaitTermination, which need not be waiting yet.
  }

  get status(): StreamingContextStatus {
    return this.#status;
  }

  /** Undefined: there is no checkpoint, or the start is not through. */
  get meter(): CheckpointMeter | undefined {
    return this.#driver?.meter;
  }

  /** Resolves when stopped; rejects with the first error. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Resolves when the first batch can run. `release` is called when all is closed, also if this fails. */
  start(release: () => void): Promise<void> {
    this.#status = 'active';
    this.rdds.closeProgram();
    this.#release = release;
    this.#started = runInside(this, () => this.#start());
    return this.#started;
  }

  /** In a worker thread, instead of `start`: see WorkerRole. */
  handOver(role: WorkerRole): Promise<never> {
    this.#status = 'active';
    const { graph } = this.#program;
    graph.validate();
    this.rdds.closeProgram();
    return role.handOver({ graph, rdds: this.rdds, runner: this.#runner });
  }

  /** What `start` returned. */
  get started(): Promise<void> {
    return this.#started ?? Promise.resolve();
  }

  /** In any status and repeatedly. Resolves when it has ended, or at once when called by code of the stream itself. */
  async stop(request: StopRequest): Promise<void> {
    this.#isStopRequested = true;
    if (this.#status === 'initialized') await this.#end(undefined);
    else if (this.#loop !== undefined) this.#loop.stop(request);
    else if (!this.#stopBeforeLoop || !request.graceful) this.#stopBeforeLoop = request;
    if (isInside(this)) return; // L3
    await this.#ended.promise.catch(() => {});
  }

  async shutDown(signal: string): Promise<void> {
    const { stopGracefullyOnShutdown: graceful, gracefulStopTimeoutMs: timeoutMs, ports, appName } = this.#settings;
    if (!this.#isStopRequested) {
      ports.warn(
        `${signal}: stopping '${appName}'${graceful ? ' gracefully; the same signal again ends it at once' : ''}.`,
      );
      await this.stop({ graceful, timeoutMs });
    }
    await this.#ended.promise.catch(() => {});
  }

  async #start(): Promise<void> {
    const { graph, checkpoint: place, givenUp } = this.#program;
    const {
      appName,
      engine,
      ports,
      random,
      backpressure,
      checkpoint: options,
      allowSeveral,
      startReport,
    } = this.#settings;
    if (!allowSeveral) shutdownHook.add(this);
    try {
      graph.validate();
      this.#starting = this.#startWorkers();
      this.#starting.catch(() => {}); // Met below, or after an error that came first.
      const opened = await place.open(graph);
      // Before anything is written: a program that is another one on the threads is refused.
      this.#workers = await this.#starting;
      await place.probe(ports.warn);
      const { driver, info } = await startDriver({
        graph,
        givenUp,
        appName,
        settings: engine,
        ports,
        random,
        backpressure,
        rdds: this.rdds,
        listeners: this.listeners,
        workers: this.#workers,
        checkpoint: opened && { ...opened, options },
        fail: (error) => this.#fail(error),
      });
      this.#driver = driver;
      const requests = new RequestPoll(driver, requestPollMs(options), () => this.#drainAsAsked());
      this.#loop = new BatchLoop(
        driver,
        () => this.#cancelBatch(),
        () => requests.betweenBatches(),
      );
      await place.probed();
      if (this.#failedBeforeLoop !== undefined) throw this.#failedBeforeLoop;
      if (this.#stopBeforeLoop !== undefined) this.#loop.stop(this.#stopBeforeLoop);
      if (startReport) ports.report(formatStartReport(appName, info));
      this.listeners.post('onStreamingStarted', info);
    } catch (thrown) {
      const error = await place.explain(toError(thrown));
      await this.#end(error);
      throw error;
    }
    this.#loop.run().then(
      () => this.#end(undefined),
      (error) => this.#end(toError(error)),
    );
  }

  #loopWatch(turns: Turns, role: WorkerRole | undefined): LoopWatch | undefined {
    const { blockedLoopWarningMs: thresholdMs, ports } = this.#settings;
    if (thresholdMs === undefined) return undefined;
    return new LoopWatch({
      thresholdMs,
      now: turns.now,
      clockMs: () => ports.clock.now(),
      report: role?.loopBlocked ?? ((info) => this.#loopBlocked(info)),
    });
  }

  #loopBlocked(info: LoopBlockedInfo): void {
    this.#settings.ports.warn(formatLoopBlocked(info));
    this.listeners.post('onLoopBlocked', info);
  }

  async #startWorkers(): Promise<WorkerGroup | undefined> {
    const { workers, ports, random } = this.#settings;
    if (workers === undefined) return undefined;
    const { clock, warn } = ports;
    const { graph } = this.#program;
    const fail = (error: Error): void => this.#fail(error);
    const loopBlocked = (info: LoopBlockedInfo): void => this.#loopBlocked(info);
    return WorkerGroup.start({ ...workers, graph, rdds: this.rdds, clock, random, warn, loopBlocked, fail });
  }

  /** A tool asked for it; the program ends as if it had called stop(). */
  #drainAsAsked(): void {
    const { ports, appName, gracefulStopTimeoutMs: timeoutMs } = this.#settings;
    ports.warn(`'${appName}' was asked through its checkpoint to finish what has arrived and stop.`);
    this.stop({ graceful: true, timeoutMs }).catch(() => {});
  }

  /** Tasks end with CANCELLED, also those that wait for a source. Nothing is read any more after it. */
  #cancelBatch(): void {
    this.#cancel.abort();
    this.#workers?.cancel();
    // `stop` is idempotent: what it throws is told by the one in `#end`.
    for (const { source } of this.#program.graph.sources) source.stop().catch(() => {});
  }

  #fail(error: Error): void {
    if (this.#loop === undefined) this.#failedBeforeLoop ??= error;
    else this.#loop.fail(error);
  }

  /** L1, L2. After a clean end the log is closed with the receipts of the last batch. */
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
    await attempt(async () => (await this.#starting)?.close());
    const { graph, checkpoint } = this.#program;
    for (const { source } of graph.sources) await attempt(() => source.stop());
    for (const output of graph.outputs) if (output.kind === 'sink') await attempt(async () => output.sink.close?.());
    await attempt(() => checkpoint.close());
    shutdownHook.remove(this);
    this.#release();
    this.listeners.post('onStreamingStopped', error);
    await this.listeners.close();
    if (error === undefined) this.#ended.resolve();
    else this.#ended.reject(error);
  }
}
