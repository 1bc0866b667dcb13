import { type Clock, SystemClock } from '../base/clock.ts';
import type { CrashHook } from '../base/crash-points.ts';
import { TidemarkError } from '../base/errors.ts';
import { positiveInteger, requireKnownOptions } from '../base/options.ts';
import { type Random, SystemRandom } from '../base/random.ts';
import { Duration } from '../base/time.ts';
import type { CheckpointOptions } from '../checkpoint/checkpoint-options.ts';
import { type WorkerSettings, workerSettings } from '../workers/master.ts';
import { type BackpressureOptions, type BackpressureSettings, backpressureSettings } from './backpressure/options.ts';
import type { EnginePorts, EngineSettings } from './driver.ts';

export interface StreamingContextOptions {
  /** For logs and the checkpoint's settings. */
  readonly appName: string;
  /** `local` (the default): in this thread. `local[N]`: N worker threads, `local[*]`: one per core. See docs/workers.md. */
  readonly master?: string | undefined;
  /** With worker threads: the URL of the module that builds the program and starts it, which each of them loads: `import.meta.url`. */
  readonly module?: string | URL | undefined;
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
  /** Slows sources down to the speed of the processing. Default off. */
  readonly backpressure?: BackpressureOptions | undefined;
  /** On SIGTERM or SIGINT, process what has arrived before stopping. Default false: stop without it. */
  readonly stopGracefullyOnShutdown?: boolean | undefined;
  /** Bound of a graceful stop that names none itself. Default: ten batch intervals, at least 10 s. */
  readonly gracefulStopTimeout?: Duration | undefined;
  /** Print at the start what is guaranteed from each source to each output, and which uids are not given. Default true. */
  readonly startReport?: boolean | undefined;
  /** Events that may wait for one listener; more are dropped and counted. Default 10,000, as in Spark. */
  readonly listenerQueueLengthMax?: number | undefined;
  /** A function of the program that holds up the event loop for so long is named in a warning. Default 200 ms; of 0 ms: never. */
  readonly blockedLoopWarning?: Duration | undefined;
  /** Bounds and intervals of the checkpoint log. */
  readonly checkpoint?: ContextCheckpointOptions | undefined;
  /** Settings by the names Spark has for them, such as `spark.streaming.backpressure.enabled`: see docs/settings.md. */
  readonly settings?: Readonly<Record<string, string | number | boolean>> | undefined;
  /** What the engine takes from outside; for tests and simulations. */
  readonly environment?: EngineEnvironment | undefined;
}

type OwnOptions = 'clock' | 'random' | 'crashHook' | 'onCommitted' | 'signal';

export interface ContextCheckpointOptions extends Omit<CheckpointOptions, OwnOptions> {
  /** See {@link EngineSettings}. Default 8. */
  readonly pipelineBatchesMax?: number | undefined;
  /** See {@link EngineSettings}. Default 64 MiB. */
  readonly pipelineBytesMax?: number | undefined;
}

export interface EngineEnvironment {
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly crashHook?: CrashHook | undefined;
  /** Where `print()` goes. Default: standard output. */
  readonly print?: ((text: string) => void) | undefined;
  /** Where warnings go. Default: standard error. */
  readonly warn?: ((text: string) => void) | undefined;
  /** Where the report of a start goes. Default: standard error; nowhere when `print` or `warn` is given. */
  readonly report?: ((text: string) => void) | undefined;
  /**
   * Lets this context run beside others in one process, for simulations of several drivers. It is then never the active
   * one, and signals don't stop it. Default false.
   */
  readonly allowSeveral?: boolean | undefined;
}

const optionNames = [
  'appName',
  'batchInterval',
  'master',
  'module',
  'defaultParallelism',
  'planAhead',
  'catchUpBatchesMax',
  'taskAttemptsMax',
  'backpressure',
  'stopGracefullyOnShutdown',
  'gracefulStopTimeout',
  'startReport',
  'listenerQueueLengthMax',
  'blockedLoopWarning',
  'checkpoint',
  'settings',
  'environment',
] as const satisfies readonly (keyof StreamingContextOptions)[];

const checkpointOptionNames = [
  'inlineBytesMax',
  'segmentBytesMax',
  'manifestEveryRecords',
  'manifestEveryBytes',
  'compactionAlpha',
  'retainManifests',
  'retainMs',
  'commitTimeoutMs',
  'silenceThresholdMs',
  'requestPollMs',
  'pipelineBatchesMax',
  'pipelineBytesMax',
] as const satisfies readonly (keyof ContextCheckpointOptions)[];
const environmentNames = [
  'clock',
  'random',
  'crashHook',
  'print',
  'warn',
  'report',
  'allowSeveral',
] as const satisfies readonly (keyof EngineEnvironment)[];

/** The options of a context, checked and with their defaults. */
export interface ContextSettings {
  readonly appName: string;
  /** Undefined: all in this thread. */
  readonly workers: WorkerSettings | undefined;
  readonly batchIntervalMs: number;
  readonly defaultParallelism: number;
  readonly engine: EngineSettings;
  readonly taskAttemptsMax: number;
  readonly backpressure: BackpressureSettings | undefined;
  readonly stopGracefullyOnShutdown: boolean;
  readonly gracefulStopTimeoutMs: number;
  readonly startReport: boolean;
  readonly listenerQueueLengthMax: number;
  /** Undefined: it is off. */
  readonly blockedLoopWarningMs: number | undefined;
  readonly checkpoint: ContextCheckpointOptions;
  readonly ports: EnginePorts;
  readonly random: Random;
  readonly allowSeveral: boolean;
}

/** @throws OPTION_INVALID */
export function contextSettings(options: StreamingContextOptions): ContextSettings {
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
  const batchIntervalMs = batchInterval.milliseconds;
  return {
    appName: options.appName,
    workers: workerSettings(options.master, options.module),
    batchIntervalMs,
    defaultParallelism: positiveInteger('defaultParallelism', options.defaultParallelism ?? 4),
    engine: {
      planAhead: options.planAhead ?? false,
      catchUpBatchesMax: positiveInteger('catchUpBatchesMax', options.catchUpBatchesMax ?? 1000),
      pipelineBatchesMax: positiveInteger('checkpoint.pipelineBatchesMax', checkpoint.pipelineBatchesMax ?? 8),
      pipelineBytesMax: positiveInteger('checkpoint.pipelineBytesMax', checkpoint.pipelineBytesMax ?? 64 * 1024 * 1024),
    },
    taskAttemptsMax: positiveInteger('taskAttemptsMax', options.taskAttemptsMax ?? 4),
    backpressure: backpressureSettings(options.backpressure ?? {}, batchIntervalMs),
    stopGracefullyOnShutdown: options.stopGracefullyOnShutdown ?? false,
    gracefulStopTimeoutMs: stopTimeoutMs(options.gracefulStopTimeout, batchIntervalMs),
    startReport: options.startReport ?? true,
    listenerQueueLengthMax: positiveInteger('listenerQueueLengthMax', options.listenerQueueLengthMax ?? 10_000),
    blockedLoopWarningMs: blockedLoopWarningMs(options.blockedLoopWarning),
    checkpoint,
    ports: {
      clock: environment.clock ?? new SystemClock(),
      crash: environment.crashHook ?? (() => {}),
      print: environment.print ?? ((text) => console.log(text)),
      warn: environment.warn ?? ((text) => console.error(text)),
      report: environment.report ?? (isRedirected(environment) ? () => {} : (text) => console.error(text)),
    },
    random: environment.random ?? new SystemRandom(),
    allowSeveral: environment.allowSeveral ?? false,
  };
}

/** A program that shows text in a way of its own has its own way to show this, too: `RecoveryInfo`. */
function isRedirected({ print, warn }: EngineEnvironment): boolean {
  return print !== undefined || warn !== undefined;
}

function blockedLoopWarningMs(given: Duration | undefined): number | undefined {
  if (given === undefined) return 200;
  if (given instanceof Duration && given.milliseconds >= 0) return given.milliseconds || undefined;
  throw new TidemarkError(
    'OPTION_INVALID',
    `blockedLoopWarning is ${String(given)}; give a duration such as Milliseconds(200), or Milliseconds(0) for no warnings.`,
  );
}

function stopTimeoutMs(given: Duration | undefined, batchIntervalMs: number): number {
  if (given === undefined) return Math.max(10 * batchIntervalMs, 10_000);
  return positiveInteger('gracefulStopTimeout (in milliseconds)', given.milliseconds);
}
