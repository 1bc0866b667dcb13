import { TidemarkError } from '../../base/errors.ts';
import { positiveInteger, requireKnownOptions } from '../../base/options.ts';
import { Duration } from '../../base/time.ts';

/** How a receiver's data becomes blocks. */
export interface ReceiverOptions {
  /** Single rows are cut into a block so often; each block is a partition of its batch. Default 200 ms. */
  readonly blockInterval?: Duration | undefined;
  /** Blocks under way to the log at a time. Default 10. */
  readonly blockQueueSize?: number | undefined;
  /** Rows in a block of single rows. Default 50,000. */
  readonly blockRowsMax?: number | undefined;
  /** Records per second, also above any rate that back-pressure asks for. Default: no limit. */
  readonly maxRate?: number | undefined;
  /** Records per second until back-pressure has an estimate. Default: `maxRate`. */
  readonly initialRate?: number | undefined;
  /** Between a stop and a start of the receiver, when `restart` names no delay. Default 2 s. */
  readonly restartDelay?: Duration | undefined;
}

export interface ReceiverSettings {
  readonly blockIntervalMs: number;
  readonly queueMax: number;
  readonly blockRowsMax: number;
  readonly maxRate: number;
  readonly initialRate: number;
  readonly restartDelayMs: number;
}

export const receiverOptionNames = [
  'blockInterval',
  'blockQueueSize',
  'blockRowsMax',
  'maxRate',
  'initialRate',
  'restartDelay',
] as const satisfies readonly (keyof ReceiverOptions)[];

/** @throws OPTION_INVALID */
export function receiverSettings(options: ReceiverOptions): ReceiverSettings {
  requireKnownOptions('A receiver stream', options, receiverOptionNames);
  const maxRate = rate('maxRate', options.maxRate) ?? Number.POSITIVE_INFINITY;
  return {
    blockIntervalMs: durationMs('blockInterval', options.blockInterval ?? new Duration(200), 1),
    queueMax: positiveInteger('blockQueueSize', options.blockQueueSize ?? 10),
    blockRowsMax: positiveInteger('blockRowsMax', options.blockRowsMax ?? 50_000),
    maxRate,
    initialRate: rate('initialRate', options.initialRate) ?? maxRate,
    restartDelayMs: durationMs('restartDelay', options.restartDelay ?? new Duration(2000), 0),
  };
}

/** @throws OPTION_INVALID */
export function durationMs(name: string, duration: Duration, minMs: number): number {
  if (duration instanceof Duration && duration.milliseconds >= minMs) return duration.milliseconds;
  throw new TidemarkError(
    'OPTION_INVALID',
    `${name} is ${String(duration)}; give a duration of at least ${minMs} ms, such as Milliseconds(200).`,
  );
}

function rate(name: string, value: number | undefined): number | undefined {
  if (value === undefined || value > 0) return value;
  throw new TidemarkError(
    'OPTION_INVALID',
    `${name} is ${value}; give records per second, more than 0, or leave it out.`,
  );
}
