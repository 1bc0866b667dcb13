import { setImmediate } from 'node:timers/promises';
import type { StateExtent } from '../checkpoint/records.ts';
import type { Driver } from './driver.ts';

// Other work of the process has its turn after so many encoded bytes.
const bytesPerTurn = 4 * 1024 * 1024;

/**
 * Makes the manifest of the state as of the batch just committed, if one is due: in pieces, so that the event loop is never
 * held up for long. It is uploaded in the background; a later commit adopts it. No batch may be merged meanwhile.
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
  const extents: StateExtent[] = [];
  let bytesOfTurn = 0;
  for (const { uid, table } of stateful) {
    if (!due.has(uid) && !table.isChanged) continue;
    await table.readyForManifest();
    for (const extent of table.extents(log.compactionAlpha)) {
      extents.push({ uid, ...extent });
      bytesOfTurn += extent.bytes.length;
      if (bytesOfTurn < bytesPerTurn) continue;
      await setImmediate();
      bytesOfTurn = 0;
    }
  }
  // A failure is that of the next commit.
  log.writeManifest(extents).catch(() => {});
}
