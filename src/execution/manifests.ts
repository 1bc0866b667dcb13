import type { StateExtent } from '../checkpoint/records.ts';
import type { Driver } from './driver.ts';
import type { StateDriver } from './state-batch.ts';

/**
 * Makes the manifest of the state as of the batch just committed, if one is due. It is uploaded in the background; a later
 * commit adopts it. No batch may be merged meanwhile.
 */
export async function writeManifestIfDue(driver: Driver): Promise<void> {
  const { log, stateful } = driver;
  // Without a log nobody asks what has gone since the last manifest, and nothing would ever make tables forget it.
  if (log === undefined) {
    for (const { table } of stateful) table.manifestWritten();
    return;
  }
  const due = log.manifestDue();
  if (due === undefined) return;
  // A failure is that of the next commit.
  log.writeManifest(await stateExtents(driver, due, log.compactionAlpha)).catch(() => {});
}

/** What a manifest holds of the operators that are due or changed, in pieces that give way to other work of the process. */
export async function stateExtents(
  { stateful, rdds }: StateDriver,
  due: ReadonlyMap<string, unknown>,
  alpha: number,
): Promise<StateExtent[]> {
  const extents: StateExtent[] = [];
  for (const { uid, table } of stateful) {
    if (!due.has(uid) && !table.isChanged) continue;
    await table.readyForManifest();
    for (const extent of table.extentSteps(table.planExtents(alpha))) {
      if (extent !== undefined) extents.push({ uid, ...extent });
      if (rdds.turns.isOver) await rdds.turns.give();
    }
  }
  return extents;
}
