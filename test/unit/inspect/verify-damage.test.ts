import { beforeAll, describe, expect, test } from 'vitest';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { type VerifyReport, verifyCheckpoint } from '../../../src/inspect/verify-checkpoint.ts';
import { changed, everything, flipped, type Objects, objectsOf, Run, recordsOnly, storeOf } from './support.ts';

async function verify(objects: Objects): Promise<VerifyReport> {
  return verifyCheckpoint(await storeOf(objects));
}

function namesOf({ findings }: VerifyReport): string[] {
  return [...new Set(findings.map(({ object }) => object))];
}

/** The objects of a checkpoint, without what nothing refers to. */
async function withoutOrphans(objects: Objects): Promise<Objects> {
  const { orphans } = await verify(objects);
  const left = new Map(objects);
  for (const { name } of orphans) left.delete(name);
  return left;
}

describe.each([
  ['records only', recordsOnly, 12_000, ['format', 'hint', 'log']],
  ['everything there is', everything, 60_000, ['format', 'gc', 'hint', 'log', 'man', 'seg', 'snap']],
] as const)('a checkpoint of %s', (_what, settings, endMs, folders) => {
  let objects: Objects;

  beforeAll(async () => {
    const run = new Run();
    await run.to(endMs - 5_000, settings);
    await run.to(endMs, settings);
    objects = await withoutOrphans(await objectsOf(run.store));
    expect([...new Set([...objects.keys()].map((name) => name.split('/')[0]))].sort()).toEqual(folders);
  });

  test('has no findings as it is', async () => {
    const report = await verify(objects);
    expect(report.findings).toEqual([]);
    expect(report.orphans).toEqual([]);
    expect(report.checked.fingerprints).toBeGreaterThan(3 * report.checked.batches - 1);
    expect(report.checked.objects).toBe(objects.size);
  });

  test('is named by every object that has a turned bit', async () => {
    for (const [name, bytes] of objects) {
      let found = 0;
      for (const at of [0, Math.floor(bytes.length / 2), bytes.length - 1]) {
        const report = await verify(changed(objects, name, flipped(bytes, at)));
        if (namesOf(report).includes(name)) found += 1;
        // Of a snapshot that is listed for one extent the others may be replaced: nobody reads them.
        else expect(name, `at ${at}`).toMatch(/^snap/);
      }
      expect(found, name).toBeGreaterThan(0);
    }
  });

  test('is named by every object that was cut or became longer', async () => {
    for (const [name, bytes] of objects) {
      for (const length of [0, bytes.length - 1]) {
        const cut = await verify(changed(objects, name, bytes.subarray(0, length)));
        if (name.startsWith('snap/') && length > 0 && cut.findings.length === 0) continue;
        expect(namesOf(cut), name).toContain(name);
      }
      const longer = Buffer.concat([bytes, Buffer.from([0])]);
      const report = await verify(changed(objects, name, longer));
      // A snapshot may outlive the manifest that names all of it: bytes behind its end are then never read.
      if (name.startsWith('snap/') && report.findings.length === 0) continue;
      expect(namesOf(report), name).toContain(name);
    }
  });

  test('is named by every object that is missing', async () => {
    const slots = [...objects.keys()].filter((name) => name.startsWith('log/'));
    for (const name of objects.keys()) {
      const report = await verify(changed(objects, name, undefined));
      if (name === 'hint') {
        expect(report.findings).toEqual([]); // it only shortens the way
      } else if (name === slots.at(-1)) {
        // The newest record can only be missed by those who have seen it.
        expect(report.tailSlot).toBe(slots.length === 0 ? 0 : Number(name.slice(4)) - 1);
      } else {
        expect(namesOf(report), name).toContain(name);
      }
    }
  });

  test('is named by every record that stands in the place of its neighbour', async () => {
    const names = [...objects.keys()].filter((name) => name.startsWith('log/'));
    for (const [index, name] of names.entries()) {
      const other = names[index + 1] ?? names[index - 1]!;
      const report = await verify(changed(objects, name, objects.get(other)!));
      expect(report.findings.find(({ object }) => object === name)?.problem).toMatch(/it says it is record \d+$/);
    }
  });

  test('tells of many damages at once, each by its name', async () => {
    let damaged = new Map(objects);
    const chosen = [...objects.keys()].filter((name, index) => name === 'format' || index % 3 === 0);
    for (const name of chosen)
      damaged = changed(damaged, name, flipped(objects.get(name)!, 20 % objects.get(name)!.length));
    const report = await verify(damaged);
    // What only a damaged object refers to can't be known to be needed, but nothing else is passed over.
    const expected = chosen.filter((name) => !/^(seg|man|snap)\//.test(name));
    expect(namesOf(report)).toEqual(expect.arrayContaining(expected));
  });

  test('is refused by a start only where verify has findings', async () => {
    for (const [name, bytes] of objects) {
      const damaged = await storeOf(changed(objects, name, flipped(bytes, Math.floor(bytes.length / 3))));
      const start = await readCheckpoint(damaged).then(
        () => 'fine',
        () => 'refused',
      );
      const { findings } = await verifyCheckpoint(damaged);
      if (start === 'refused') expect(findings, name).not.toEqual([]);
    }
  });
});

test('a record that was taken from another stream does not continue this one', async () => {
  const [one, two] = [new Run(), new Run(undefined, 1000)];
  await one.to(8_000, recordsOnly);
  await two.to(9_000, recordsOnly);
  const objects = await objectsOf(one.store);
  const name = 'log/00000000000000000005';
  const { findings } = await verify(changed(objects, name, (await objectsOf(two.store)).get(name)));
  expect(findings.map(({ object }) => object)).toContain(name);
});
