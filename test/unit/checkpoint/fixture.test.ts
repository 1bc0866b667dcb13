import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { buildStream, describeStream, objectsOf } from './fixture-stream.ts';
import { JumpingClock } from './support.ts';

/**
 * A checkpoint as format version 1 wrote it. The folder never changes again; a new format version gets a folder of its
 * own (test/fixtures/checkpoint/write.ts) and must still read this one.
 */
const folder = join(import.meta.dirname, '../../fixtures/checkpoint/v1');
const objectsFolder = join(folder, 'objects');

async function storedObjects(): Promise<Map<string, Uint8Array>> {
  const entries = await readdir(objectsFolder, { recursive: true, withFileTypes: true });
  const objects = new Map<string, Uint8Array>();
  for (const entry of entries.filter((entry) => entry.isFile())) {
    const path = join(entry.parentPath, entry.name);
    objects.set(relative(objectsFolder, path).replaceAll('\\', '/'), new Uint8Array(await readFile(path)));
  }
  return objects;
}

describe('format version 1', () => {
  it('is read back to the recorded status and state', async () => {
    const objects = await storedObjects();
    const prefixes = new Set([...objects.keys()].map((name) => name.split('/')[0]));
    expect(prefixes).toEqual(new Set(['format', 'gc', 'hint', 'log', 'man', 'seg', 'snap']));
    const store = new MemoryStore({ clock: new JumpingClock() });
    for (const [name, bytes] of objects) await store.putIfAbsent(name, bytes, '0'.repeat(32));
    expect(await describeStream(store)).toEqual(JSON.parse(await readFile(join(folder, 'expected.json'), 'utf8')));
  });

  it('is what this version writes, byte for byte', async () => {
    const written = await objectsOf(await buildStream());
    const stored = await storedObjects();
    expect([...written.keys()].sort()).toEqual([...stored.keys()].sort());
    for (const [name, bytes] of written) {
      expect(Buffer.from(bytes).equals(stored.get(name)!), name).toBe(true);
    }
  });
});
