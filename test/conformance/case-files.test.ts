import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadCaseFiles } from './support/cases.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cases-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function caseFile(name: string, content: object): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, JSON.stringify(content));
  return path;
}

test('SPARK_CASES adds files of the same format, with functions of their own', async () => {
  const format = { format: 'spark-streaming-conformance-cases', version: 1 };
  const one = await caseFile('one.json', {
    ...format,
    functions: { half: { js: 'x => x / 2' } },
    cases: [{ id: 'a' }],
  });
  const two = await caseFile('two.json', { ...format, functions: {}, cases: [{ id: 'b' }, { id: 'c' }] });
  const [own, ...others] = loadCaseFiles([one, two].join(delimiter));
  expect(own!.name).toBe('spark-suites.json');
  expect(own!.cases.length).toBeGreaterThan(100);
  expect(others.map(({ name, cases }) => [name, cases.map(({ id }) => id)])).toEqual([
    ['one.json', ['a']],
    ['two.json', ['b', 'c']],
  ]);
  const { half } = others[0]!.functions as Readonly<Record<string, (x: number) => number>>;
  expect(half!(8)).toBe(4);
});

test('a file of another format is refused', async () => {
  const path = await caseFile('other.json', { format: 'something else', version: 1, functions: {}, cases: [] });
  expect(() => loadCaseFiles(path)).toThrow('is not of format');
});
