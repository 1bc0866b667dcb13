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
  const extents = await stateExtents(driver, due, log.compactionAlpha);
  // A failure is that of the next commit.
  if (extents !== undefined) log.writeManifest(extents).catch(() => {});
}

/**
 * What a manifest holds of the operators that are due or changed, in pieces that give way to other work of the process.
 * Undefined: worker threads that hold some of it are gone. The manifest stays due, and the next team will be asked.
 */
export async function stateExtents(
  { stateful, rdds, workers }: StateDriver,
  due: ReadonlyMap<string, unknown>,
  alpha: number,
): Promise<StateExtent[] | undefined> {
  const nodes = stateful.filter(({ uid, table }) => due.has(uid) || table.isChanged);
  // First: as long as nothing counts as stored, all of it can be given up.
  const elsewhere = await workers?.encodeState(nodes, alpha);
  if (elsewhere === 'lost') return undefined;
  const extents: StateExtent[] = [];
  for (const node of nodes) {
    const { uid, table } = node;
    const encoded = elsewhere?.get(node);
    await table.readyForManifest();
    for (const extent of table.extentSteps(encoded?.plan ?? table.planExtents(alpha), encoded?.committed)) {
      if (extent !== undefined) extents.push({ uid, ...extent });
      if (rdds.turns.isOver) await rdds.turns.give();
    }
  }
  return extents;
}
