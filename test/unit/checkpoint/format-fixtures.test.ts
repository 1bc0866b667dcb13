import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { built, fixturesFolder, formatFixtures, kept, storeOf } from '../../fixtures/format-fixtures.ts';

/**
 * Checkpoints as format version 1 wrote them. The folder never changes again; a new format version gets a folder of its
 * own (test/fixtures/write-format.ts) and must still read this one.
 */
describe.each(formatFixtures.map((fixture) => [fixture.name, fixture] as const))(
  'format version 1: %s',
  (name, fixture) => {
    it('is read back to the recorded status and state', async () => {
      const expected = JSON.parse(await readFile(join(fixturesFolder, 'format-v1', name, 'expected.json'), 'utf8'));
      expect(await fixture.describe(await storeOf(await kept('v1', fixture)))).toEqual(expected);
    });

    it('is what this version writes, byte for byte', async () => {
      const written = await built(fixture);
      const stored = await kept('v1', fixture);
      expect([...written.keys()].sort()).toEqual([...stored.keys()].sort());
      for (const [object, bytes] of written) {
        expect(Buffer.from(bytes).equals(stored.get(object)!), object).toBe(true);
      }
    });
  },
);

it('the fixtures hold every kind of object', async () => {
  const all = await Promise.all(formatFixtures.map((fixture) => kept('v1', fixture)));
  const prefixes = new Set(all.flatMap((objects) => [...objects.keys()].map((name) => name.split('/')[0])));
  expect(prefixes).toEqual(new Set(['format', 'gc', 'hint', 'log', 'man', 'req', 'seg', 'snap']));
});
