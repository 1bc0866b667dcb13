import { TidemarkError } from '../base/errors.ts';
import { type CheckpointTarget, withCheckpoint } from '../inspect/checkpoint-target.ts';
import { type AskOptions, askDriver } from './ask-driver.ts';
import { statusOf } from './hold-stream.ts';

export interface DrainReport {
  readonly streamId: string;
  /** True: there was nothing to do. */
  readonly wasStopped: boolean;
  readonly lastBatch: { readonly batchId: number; readonly batchTimeMs: number } | undefined;
}

/**
 * Asks the running driver to process what has arrived and to stop, and waits until it has. Its program ends as after
 * `stop({ graceful: true })`. A stream that stopped cleanly is left as it is, and one that stops cleanly for another reason
 * meanwhile counts as stopped: what arrived in between waits for the next start.
 *
 * @throws REQUEST_UNANSWERED; FENCED when another driver took over meanwhile: it goes on
 */
export function drainStream(target: CheckpointTarget, options: AskOptions = {}): Promise<DrainReport> {
  return withCheckpoint(target, options, async (store) => {
    const { streamId, drained, epoch, lastBatch } = await statusOf(store);
    if (drained) return { streamId, wasStopped: true, lastBatch };
    return askDriver(store, { kind: 'drain', epoch }, options, (status) => {
      if (status.epoch === epoch) {
        return status.drained ? { streamId, wasStopped: false, lastBatch: status.lastBatch } : undefined;
      }
      throw new TidemarkError(
        'FENCED',
        `Another driver (epoch ${status.epoch}) took over ${store.url} while the one of epoch ${epoch} was asked to stop. ` +
          'Stop whatever restarts the program, then drain it again.',
        { context: { streamId, epoch: status.epoch } },
      );
    });
  });
}
