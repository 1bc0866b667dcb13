import { SystemClock } from '../base/clock.ts';
import { pin, requirePinnable, savepointNamed, unpin } from '../checkpoint/operator-records.ts';
import { deleteRequest } from '../checkpoint/requests.ts';
import { type CheckpointTarget, type CheckpointToolOptions, withCheckpoint } from '../inspect/checkpoint-target.ts';
import { type SavepointRow, savepointRows } from '../inspect/inspect-checkpoint.ts';
import { type AskOptions, askDriver } from './ask-driver.ts';
import { holdStream, statusOf } from './hold-stream.ts';

export interface SavepointOptions extends AskOptions {
  /** A letter, then letters, digits, dots, dashes or underscores. Default: made of the date. */
  readonly name?: string | undefined;
}

/**
 * Keeps the last committed batch, with its state, until the savepoint is removed: one record, no copy. On a stream that
 * stopped cleanly at once; else the running driver is asked, which does it between two batches.
 *
 * @throws OPTION_INVALID, LIMIT_EXCEEDED, BATCH_NOT_RETAINED without a batch, REQUEST_UNANSWERED, CHECKPOINT_MISSING
 */
export function createSavepoint(target: CheckpointTarget, options: SavepointOptions = {}): Promise<SavepointRow> {
  return withCheckpoint(target, options, async (store) => {
    const status = await statusOf(store);
    const name = options.name ?? dateName(options);
    requirePinnable(status, name);
    const savepoint =
      status.drained || options.takeOver === true
        ? await holdStream(store, 'savepoint', options, (log) => pin(log, name, undefined))
        : await askDriver(store, { kind: 'savepoint', name }, options, ({ savepoints }, id) =>
            savepoints.find(({ requestId }) => requestId === id),
          );
    return savepointRows({ savepoints: [savepoint] })[0]!;
  });
}

/** Oldest first. @throws CHECKPOINT_MISSING, CHECKPOINT_CORRUPT */
export function listSavepoints(
  target: CheckpointTarget,
  options: CheckpointToolOptions = {},
): Promise<readonly SavepointRow[]> {
  return withCheckpoint(target, options, async (store) => savepointRows(await statusOf(store)));
}

/**
 * What only this savepoint needed is deleted at the driver's next cleaning.
 * @throws OPTION_INVALID when there is none of this name; REQUEST_UNANSWERED, CHECKPOINT_MISSING
 */
export function removeSavepoint(target: CheckpointTarget, name: string, options: AskOptions = {}): Promise<void> {
  return withCheckpoint(target, options, async (store) => {
    const status = await statusOf(store);
    const { slot, requestId } = savepointNamed(status, name);
    // Its driver may have died before it removed the request, and the next one would make the savepoint again.
    if (requestId !== null) await deleteRequest(store, requestId);
    if (status.drained || options.takeOver === true) {
      return holdStream(store, 'savepoint rm', options, (log) => unpin(log, name));
    }
    await askDriver(store, { kind: 'unpin', name, slot }, options, ({ savepoints }) =>
      savepoints.some((savepoint) => savepoint.slot === slot) ? undefined : true,
    );
  });
}

/** `s-20260131T120000Z` */
function dateName({ clock = new SystemClock() }: AskOptions): string {
  return `s-${new Date(clock.now()).toISOString().replace(/[-:]|\.\d+/g, '')}`;
}
