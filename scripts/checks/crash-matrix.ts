import { posix } from 'node:path';
import type { RepositoryFile } from './repository-rules.ts';

const matrixPath = 'docs/crash-matrix.md';
const rowsExpected = 32;
const titleForm = /(['"`])row (\d+): (?:(?!\1)[^\\\n])+\1/g;

/**
 * Holds the table of docs/crash-matrix.md and the names of the tests together: each of the 32 rows is there once, links the
 * files of its tests, and each linked file has a test named "row N: ...".
 */
export function checkCrashMatrix(files: readonly RepositoryFile[]): readonly string[] {
  const matrix = files.find(({ path }) => path === matrixPath);
  if (matrix === undefined) return [`${matrixPath} is missing`];
  const problems: string[] = [];
  const linked = linksByRow(matrix.text);
  const tested = testFilesByRow(files);
  for (let row = 1; row <= rowsExpected; row++) {
    const links = linked.get(row);
    const tests = tested.get(row) ?? new Set();
    if (links === undefined) problems.push(`${matrixPath}: row ${row} is missing`);
    else if (links.size === 0) problems.push(`${matrixPath}: row ${row} names no test`);
    if (tests.size === 0) problems.push(`${matrixPath}: no test is named "row ${row}: ..."`);
    for (const path of links ?? []) {
      if (!tests.has(path))
        problems.push(`${matrixPath}: row ${row} names ${path}, which has no test "row ${row}: ..."`);
    }
  }
  for (const [row, paths] of tested) {
    if (row < 1 || row > rowsExpected)
      problems.push(`${[...paths].join(', ')}: there is no row ${row} in ${matrixPath}`);
  }
  return problems;
}

/** The files that the last cell of each row of the table links. */
function linksByRow(text: string): ReadonlyMap<number, ReadonlySet<string>> {
  const rows = new Map<number, ReadonlySet<string>>();
  for (const [, number, rest] of text.matchAll(/^\| (\d+) \|(.*)\|$/gm)) {
    const cell = rest!.split('|').at(-1)!;
    const links = [...cell.matchAll(/\]\(([^)]+)\)/g)].map(([, link]) => posix.join(posix.dirname(matrixPath), link!));
    rows.set(Number(number), new Set(links));
  }
  return rows;
}

function testFilesByRow(files: readonly RepositoryFile[]): ReadonlyMap<number, Set<string>> {
  const rows = new Map<number, Set<string>>();
  for (const { path, text } of files) {
    if (!/^test\/.*\.test\.ts$/.test(path) || path.startsWith('test/unit/tooling/')) continue;
    for (const [, , number] of text.matchAll(titleForm)) {
      const row = Number(number);
      rows.set(row, (rows.get(row) ?? new Set()).add(path));
    }
  }
  return rows;
}
