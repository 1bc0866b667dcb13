import type { StateExtent } from '../checkpoint/records.ts';
import type { Driver } from './driver.ts';

/**
 * Makes the manifest of the state as of the batch just committed, if one is due: in pieces, so that the event loop is never
 * held up for long. It is uploaded in the background; a later commit adopts it. No batch may be merged meanwhile.
 */
export async function writeManifestIfDue(driver: Driver): Promise<void> {
  const { log, stateful, rdds } = driver;
  // Without a log nobody asks what has gone since the last manifest, and nothing would ever make tables forget it.
  if (log === undefined) {
    for (const { table } of stateful) table.manifestWritten();
    return;
  }
  const due = log.manifestDue();
  if (due === undefined) return;
  const extents: StateExtent[] = [];
  for (const { uid, table } of stateful) {
    if (!due.has(uid) && !table.isChanged) continue;
    await table.readyForManifest();
    for (const extent of table.extentSteps(log.compactionAlpha)) {
      if (extent !== undefined) extents.push({ uid, ...extent });
      if (rdds.turns.isOver) await rdds.turns.give();
    }
  }
  // A failure is that of the next commit.
  log.writeManifest(extents).catch(() => {});
}
