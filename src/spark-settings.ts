import { TidemarkError } from './base/errors.ts';
import { Duration } from './base/time.ts';
import type { StreamingContextOptions } from './execution/context-options.ts';

type Value = string | number | boolean;

/** What the keys of Spark stand for here. */
interface Translated {
  backpressure: { enabled?: boolean; initialRate?: number; pid: Record<string, number> };
  stopGracefullyOnShutdown?: boolean;
  gracefulStopTimeout?: Duration;
  master?: string;
  defaultParallelism?: number;
  taskAttemptsMax?: number;
  listenerQueueLengthMax?: number;
  checkpointUrl?: string;
  receivers: Record<string, number | Duration>;
  files: Record<string, Duration>;
}

/** Defaults for the options of inputs. */
export interface InputDefaults {
  readonly receivers: Readonly<Record<string, number | Duration>>;
  readonly files: Readonly<Record<string, Duration>>;
}

interface Translation {
  /** The option of ours, for people. */
  readonly option: string;
  readonly apply: (translated: Translated, value: Value, key: string) => void;
}

/** By Spark's key. docs/settings.md shows the same table. */
const translations: Readonly<Record<string, Translation>> = {
  'spark.streaming.backpressure.enabled': {
    option: 'backpressure.enabled',
    apply: (to, value, key) => {
      to.backpressure.enabled = asBoolean(key, value);
    },
  },
  'spark.streaming.backpressure.initialRate': {
    option: 'backpressure.initialRate',
    apply: (to, value, key) => {
      to.backpressure.initialRate = asNumber(key, value);
    },
  },
  'spark.streaming.backpressure.rateEstimator': {
    option: 'none: pid is the only one',
    apply: (_to, value, key) => {
      if (value !== 'pid') throw refused(key, value, "'pid', the only estimator there is");
    },
  },
  ...Object.fromEntries(
    ['proportional', 'integral', 'derived', 'minRate'].map((name): [string, Translation] => [
      `spark.streaming.backpressure.pid.${name}`,
      {
        option: `backpressure.pid.${name}`,
        apply: (to, value, key) => {
          to.backpressure.pid[name] = asNumber(key, value);
        },
      },
    ]),
  ),
  'spark.streaming.stopGracefullyOnShutdown': {
    option: 'stopGracefullyOnShutdown',
    apply: (to, value, key) => {
      to.stopGracefullyOnShutdown = asBoolean(key, value);
    },
  },
  'spark.streaming.gracefulStopTimeout': {
    option: 'gracefulStopTimeout',
    apply: (to, value, key) => {
      to.gracefulStopTimeout = asDuration(key, value);
    },
  },
  'spark.streaming.checkpoint.directory': {
    option: 'checkpoint(url)',
    apply: (to, value) => {
      to.checkpointUrl = String(value);
    },
  },
  'spark.streaming.blockInterval': {
    option: 'blockInterval of a receiver stream',
    apply: (to, value, key) => {
      to.receivers.blockInterval = asDuration(key, value);
    },
  },
  'spark.streaming.blockQueueSize': {
    option: 'blockQueueSize of a receiver stream',
    apply: (to, value, key) => {
      to.receivers.blockQueueSize = asNumber(key, value);
    },
  },
  'spark.streaming.receiver.maxRate': {
    option: 'maxRate of a receiver stream',
    apply: (to, value, key) => {
      to.receivers.maxRate = asNumber(key, value);
    },
  },
  'spark.streaming.receiverRestartDelay': {
    option: 'restartDelay of a receiver stream',
    apply: (to, value, key) => {
      to.receivers.restartDelay = asDuration(key, value);
    },
  },
  'spark.streaming.receiver.writeAheadLog.enable': {
    option: 'none: with a checkpoint it is always on',
    apply: (_to, value, key) => {
      if (!asBoolean(key, value)) throw refused(key, value, 'true: with a checkpoint the log is always on');
    },
  },
  ...Object.fromEntries(
    ['spark.streaming.fileStream.minRememberDuration', 'spark.streaming.minRememberDuration'].map(
      (name): [string, Translation] => [
        name,
        {
          option: 'minRememberDuration of a file stream',
          apply: (to, value, key) => {
            to.files.minRememberDuration = asDuration(key, value);
          },
        },
      ],
    ),
  ),
  'spark.master': {
    option: 'master',
    apply: (to, value) => {
      to.master = String(value);
    },
  },
  'spark.default.parallelism': {
    option: 'defaultParallelism',
    apply: (to, value, key) => {
      to.defaultParallelism = asNumber(key, value);
    },
  },
  'spark.task.maxFailures': {
    option: 'taskAttemptsMax',
    apply: (to, value, key) => {
      to.taskAttemptsMax = asNumber(key, value);
    },
  },
  'spark.scheduler.listenerbus.eventqueue.capacity': {
    option: 'listenerQueueLengthMax',
    apply: (to, value, key) => {
      to.listenerQueueLengthMax = asNumber(key, value);
    },
  },
};

/**
 * The options with `settings` translated, the checkpoint URL if they name one, and what they say about inputs. What an option and a setting both say is
 * refused: one of them would be ignored. So is a key that is not in the table.
 * @throws OPTION_INVALID
 */
export function withSparkSettings(options: StreamingContextOptions): {
  readonly options: StreamingContextOptions;
  readonly checkpointUrl: string | undefined;
  readonly inputs: InputDefaults;
} {
  const { settings, ...own } = options;
  const translated: Translated = { backpressure: { pid: {} }, receivers: {}, files: {} };
  if (settings === undefined) return { options, checkpointUrl: undefined, inputs: translated };
  for (const [key, value] of Object.entries(settings)) {
    const translation = Object.hasOwn(translations, key) ? translations[key] : undefined;
    if (translation === undefined) {
      const known = Object.keys(translations).join(', ');
      throw new TidemarkError('OPTION_INVALID', `settings has no key '${key}'. Accepted: ${known}.`, {
        context: { key },
      });
    }
    if (given(own, translation.option)) {
      throw new TidemarkError(
        'OPTION_INVALID',
        `'${key}' in settings and the option ${translation.option} say the same; give one of them.`,
        { context: { key } },
      );
    }
    translation.apply(translated, value, key);
  }
  const { checkpointUrl, backpressure, receivers, files, ...rest } = translated;
  const merged = {
    ...own.backpressure,
    ...backpressure,
    pid: { ...own.backpressure?.pid, ...backpressure.pid },
  };
  return { options: { ...own, ...rest, backpressure: merged }, checkpointUrl, inputs: { receivers, files } };
}

function given(options: object, path: string): boolean {
  let value: unknown = options;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null) return false;
    value = (value as Record<string, unknown>)[name];
  }
  return value !== undefined;
}

function asBoolean(key: string, value: Value): boolean {
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw refused(key, value, 'true or false');
}

function asNumber(key: string, value: Value): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number === 'number' && Number.isFinite(number)) return number;
  throw refused(key, value, 'a number');
}

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A number is milliseconds; a text may name its unit, such as 10s. */
function asDuration(key: string, value: Value): Duration {
  const parts = /^\s*(\d+)\s*([a-z]*)\s*$/.exec(String(value).toLowerCase());
  const unit = parts?.[2] === '' ? 1 : unitMs[parts?.[2] ?? 'none'];
  if (parts !== null && unit !== undefined) return new Duration(Number(parts[1]) * unit);
  throw refused(key, value, "milliseconds, or a text such as '10s', '500ms' or '2m'");
}

function refused(key: string, value: Value, accepted: string): TidemarkError {
  return new TidemarkError('OPTION_INVALID', `'${key}' in settings is ${JSON.stringify(value)}; give ${accepted}.`, {
    context: { key },
  });
}
