import { TidemarkError, toError } from '../base/errors.ts';
import type { StatefulNode } from '../dstream/stateful-node.ts';
import type { EnginePorts } from './driver.ts';

const triesMax = 60;
const waitMsMax = 5000;

/**
 * Fetches the state that the first batches did not need, behind them. What is found damaged ends the stream; a store that
 * can't be reached is asked again for a while.
 */
export function loadRest(
  stateful: readonly StatefulNode<unknown>[],
  { clock }: EnginePorts,
  fail: (error: Error) => void,
): void {
  const load = async (): Promise<void> => {
    for (const { table } of stateful) {
      for (let tries = 1; !table.isLoaded; tries++) {
        try {
          await table.ensureLoaded();
        } catch (error) {
          const isUnavailable = error instanceof TidemarkError && error.kind === 'unavailable';
          if (!isUnavailable || tries === triesMax) throw error;
          await clock.waitUntil(clock.now() + Math.min(waitMsMax, 100 * 2 ** tries));
        }
      }
    }
  };
  load().catch((error) => fail(toError(error)));
}
