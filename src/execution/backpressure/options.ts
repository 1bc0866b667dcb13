import { TidemarkError } from '../../base/errors.ts';
import { requireKnownOptions } from '../../base/options.ts';
import { type PidGains, requireGains } from './pid-rate-estimator.ts';

export interface BackpressureOptions {
  /** Default false. */
  readonly enabled?: boolean | undefined;
  /** Records per second of a source until there is an estimate, after a restart too. Default: no limit. */
  readonly initialRate?: number | undefined;
  readonly pid?: Partial<PidGains> | undefined;
}

export interface BackpressureSettings {
  readonly initialRate: number | undefined;
  readonly gains: PidGains;
}

const optionNames = ['enabled', 'initialRate', 'pid'] as const satisfies readonly (keyof BackpressureOptions)[];
const gainNames = ['proportional', 'integral', 'derived', 'minRate'] as const satisfies readonly (keyof PidGains)[];

/** Undefined: off. Checked in any case, so that turning it on later brings no surprise. @throws OPTION_INVALID */
export function backpressureSettings(
  options: BackpressureOptions,
  batchIntervalMs: number,
): BackpressureSettings | undefined {
  const { enabled = false, initialRate, pid = {} } = options;
  requireKnownOptions('backpressure', options, optionNames);
  requireKnownOptions('backpressure.pid', pid, gainNames);
  const gains: PidGains = {
    proportional: pid.proportional ?? 1,
    integral: pid.integral ?? 0.2,
    derived: pid.derived ?? 0,
    minRate: pid.minRate ?? 100,
  };
  requireGains(batchIntervalMs, gains);
  if (initialRate !== undefined && !(initialRate > 0)) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `backpressure.initialRate is ${initialRate}; give records per second, more than 0, or leave it out.`,
    );
  }
  return enabled ? { initialRate, gains } : undefined;
}
