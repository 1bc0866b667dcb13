import { type Clock, SystemClock } from '../base/clock.ts';
import type { CrashHook } from '../base/crash-points.ts';
import { type Random, SystemRandom } from '../base/random.ts';
import type { CheckpointOptions } from '../checkpoint/checkpoint-options.ts';
import type { CheckpointToolOptions } from '../inspect/checkpoint-target.ts';

/** Of functions that write into a stream. */
export interface OperatorOptions extends CheckpointToolOptions {
  /**
   * Fence a driver that may be running: it ends with FENCED at its next commit. Without it the stream must have been
   * stopped cleanly. Default false.
   */
  readonly takeOver?: boolean | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /** For tests: called between two durable steps. */
  readonly crashHook?: CrashHook | undefined;
}

export function logOptionsOf({ clock, random, crashHook }: OperatorOptions): CheckpointOptions {
  const ports = { clock: clock ?? new SystemClock(), random: random ?? new SystemRandom(), crashHook };
  // A tool asks the floor after every write, so that the stream need not keep anything longer because a tool may sleep.
  return { ...ports, silenceThresholdMs: 0 };
}
