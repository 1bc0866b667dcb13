import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SystemClock } from '../../../src/base/clock.ts';
import { SystemRandom } from '../../../src/base/random.ts';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import type { CheckpointOptions } from '../../../src/checkpoint/checkpoint-options.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { type Azurite, startAzurite } from '../../../src/testing/azurite.ts';
import { batch, fence } from '../../unit/checkpoint/support.ts';

/** The protocol on real stores: what the simulation proves on the memory store rests on the same answers of these. */
const options: CheckpointOptions = { clock: new SystemClock(), random: new SystemRandom() };
// The store's clock counts whole seconds: everything is old enough to be deleted after one.
const shortLived: CheckpointOptions = {
  ...options,
  manifestEveryRecords: 3,
  silenceThresholdMs: 0,
  inlineBytesMax: 20,
};

async function takeOver(store: ObjectStore, more: CheckpointOptions = options): Promise<CheckpointLog> {
  return CheckpointLog.takeOver(store, await readCheckpoint(store), fence, more);
}

async function names(store: ObjectStore, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of store.list(prefix)) found.push(name);
  return found;
}

function protocolSuite(kind: string, open: () => Promise<ObjectStore>): void {
  describe(`a checkpoint on ${kind}`, () => {
    it('costs one put per small batch and comes back', async () => {
      const store = await open();
      const log = await takeOver(store);
      const before = store.operations.snapshot();
      const bytes = Buffer.from('state of the batch');
      for (let id = 1; id <= 5; id++) {
        await log.commitBatch(batch(id, { deltas: [{ uid: 'count', bytes, fingerprint: `${id}` }] }));
      }
      const after = store.operations.snapshot();
      expect(after.put.requests - before.put.requests).toBe(5);
      for (const type of ['get', 'head', 'list', 'delete'] as const) {
        expect(after[type].requests, type).toBe(before[type].requests);
      }
      const found = (await readCheckpoint(store))!;
      expect(found.status).toEqual(log.status);
      const loaded: string[] = [];
      expect(await found.loadState((uid, piece) => loaded.push(`${uid} ${Buffer.from(piece)}`))).toEqual({
        extents: 5,
        bytes: 5 * bytes.length,
      });
      expect(loaded[4]).toBe('count state of the batch');
      await store.close();
    });

    it('row 11: goes to the last of eight drivers that start at the same time', async () => {
      const first = await open();
      const stores = await Promise.all(Array.from({ length: 8 }, () => reopen(first)));
      const logs = await Promise.all(stores.map((store) => takeOver(store)));
      expect(new Set(logs.map((log) => log.streamId)).size).toBe(1);
      expect(logs.map((log) => log.epoch).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      const commits = await Promise.allSettled(logs.map((log) => log.commitBatch(batch(1))));
      expect(commits.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const commit of commits) {
        if (commit.status === 'rejected') expect(commit.reason).toMatchObject({ code: 'FENCED' });
      }
      const { status } = (await readCheckpoint(stores[0]!))!;
      expect(status).toMatchObject({ tailSlot: 9, epoch: 8, lastBatch: { batchId: 1 } });
    });

    it('keeps its size with segments, manifests, a floor and deletes', async () => {
      const store = await open();
      const log = await takeOver(store, shortLived);
      let state = Buffer.alloc(0);
      let deleted = 0;
      const startedMs = Date.now();
      for (let id = 1; deleted === 0; id++) {
        expect(Date.now() - startedMs, 'something is old enough by now').toBeLessThan(20_000);
        const bytes = Buffer.from(`batch ${id}, padded to a segment;`);
        state = Buffer.concat([state, bytes]);
        await log.commitBatch(batch(id, { deltas: [{ uid: 'text', bytes, fingerprint: `${state.length}` }] }));
        const due = log.manifestDue();
        if (due !== undefined)
          await log.writeManifest([...due.keys()].map((uid) => ({ uid, kind: 'base', bytes: state })));
        deleted += (await log.retain()).deleted;
      }
      const [oldest] = await names(store, 'log/');
      expect(oldest).not.toBe('log/00000000000000000001');
      const next = await takeOver(store, shortLived);
      const pieces: Uint8Array[] = [];
      await next.recovered.loadState((_, piece) => pieces.push(piece));
      expect(Buffer.concat(pieces).equals(state)).toBe(true);
      await expect(log.commitBatch(batch(log.status.lastBatch!.batchId + 1))).rejects.toMatchObject({ code: 'FENCED' });
      await store.close();
    });
  });
}

/** Another process's view of the same root. */
let reopen: (store: ObjectStore) => Promise<ObjectStore>;

describe('files', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-checkpoint-'));
    reopen = (store) => openObjectStore(store.url);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  let count = 0;
  protocolSuite('files', () => openObjectStore(pathToFileURL(join(folder, `root ${++count}`)).href));
});

describe('blobs', () => {
  let azurite: Azurite;
  beforeAll(async () => {
    azurite = await startAzurite();
    reopen = (store) => openObjectStore(store.url, { connectionString: azurite.connectionString });
  });
  afterAll(() => azurite.stop());

  let count = 0;
  protocolSuite('blobs', () =>
    openObjectStore(`az://checkpoint-tests/root-${++count}`, {
      connectionString: azurite.connectionString,
      createContainer: true,
    }),
  );
});
