import { afterEach, expect, test } from 'vitest';
import { Child } from '../../../scripts/demo/child.ts';
import { getState, inspectCheckpoint, verifyCheckpoint } from '../../../src/checkpoint-tools.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { useAzurite } from '../../support/azurite.ts';

export type VersionsMessage =
  | { readonly type: 'batch'; readonly batchTimeMs: number }
  | { readonly type: 'stopped' }
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

const azurite = useAzurite();
const children: Child<VersionsMessage>[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) await child.kill('SIGKILL');
});

test('versions of a program follow one another, killed in the middle of a migration and rolled back, and every key counts on', async () => {
  const url = `${azurite.newUrl()}/stream`;
  const storage = { connectionString: azurite.connectionString, createContainer: true };
  await (await openObjectStore(url, storage)).close();
  const start = (version: number, diesAfterCommits?: number): Child<VersionsMessage> => {
    const env = {
      CHECKPOINT_URL: url,
      STORAGE: azurite.connectionString,
      VERSION: String(version),
      DIES_AFTER_COMMITS: diesAfterCommits?.toString(),
    };
    const child = new Child<VersionsMessage>({
      name: `version ${version}`,
      script: 'test/e2e/redeploy/versions-process.ts',
      env,
      onMessage: () => {},
      onLine: () => {},
    });
    children.push(child);
    return child;
  };
  const schemas = async (): Promise<string | undefined> => {
    const { operators } = await inspectCheckpoint(url, { storage });
    return operators.find(({ uid }) => uid === 'last')!.fingerprint.split('@')[1];
  };

  const killed = { code: null, signal: 'SIGKILL' };

  expect(await start(1, 8).ended).toEqual(killed);
  expect(await schemas()).toBeUndefined();
  expect(await start(2, 1).ended).toEqual(killed);
  expect(await schemas()).toBe('1,2');

  const back = start(1);
  const refused = await back.next('failed', 30_000);
  expect(refused.code).toBe('CHECKPOINT_INCOMPATIBLE');
  expect(refused.message).toContain("ssc.dropSource('more')");
  expect(refused.message).toMatch(/^state 'last' .*schema=1\+2 .*reads: \[2\]/m);

  expect(await start(2, 3).ended).toEqual(killed);
  expect(await schemas()).toBe('2');

  const three = start(3);
  for (let i = 0; i < 4; i++) await three.next('batch', 30_000);
  three.send({ type: 'stop' });
  await three.next('stopped', 30_000);
  expect((await verifyCheckpoint(url, { storage })).findings).toEqual([]);
  const idle = await getState(url, 'last', 'idle2499', { storage });
  expect(idle).toMatchObject([{ value: { last: 2499, rows: 125 } }]);
  const k0 = (await getState(url, 'last', 'k0', { storage }))[0]!.value as { last: number; rows: number };
  expect(k0.rows).toBe(k0.last / 20 + 1);
});
