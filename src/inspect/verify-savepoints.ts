import type { StreamStatus } from '../checkpoint/records.ts';
import type { StreamFormat } from '../checkpoint/root-objects.ts';
import { readPoint } from '../checkpoint/stored-point.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Findings } from './findings.ts';
import { StoredState } from './stored-state.ts';

/**
 * Puts every savepoint together that begins below the floor, where the walk along the log does not come by. Each ends at
 * its first damage. Returns how many fingerprints were compared.
 */
export async function verifySavepoints(
  store: ObjectStore,
  format: StreamFormat,
  floor: number,
  { savepoints }: StreamStatus,
  findings: Findings,
): Promise<number> {
  let compared = 0;
  for (const { name, manifest: base, slot, hash } of savepoints) {
    if ((base?.slot ?? 0) >= floor) continue;
    const where = base?.name ?? 'log';
    await findings.catch(where, async () => {
      const point = await readPoint(store, format, { base, slot });
      if (point.tailHash !== hash) {
        findings.add(where, `with the records up to ${slot} it is not what savepoint '${name}' was made of`);
      }
      const states = new Map<string, StoredState>();
      await point.loadState((uid, bytes) => {
        const state = states.get(uid) ?? new StoredState(false);
        states.set(uid, state);
        state.apply(bytes);
      });
      for (const [uid, expected] of Object.entries(point.status.fingerprints)) {
        const { fingerprint } = states.get(uid) ?? new StoredState(false);
        compared += 1;
        if (fingerprint === expected) continue;
        findings.add(
          where,
          `the state of '${uid}' at savepoint '${name}' is ${fingerprint} where ${expected} was committed`,
        );
      }
    });
  }
  return compared;
}
