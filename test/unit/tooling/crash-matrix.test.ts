import { describe, expect, it } from 'vitest';
import { checkCrashMatrix } from '../../../scripts/checks/crash-matrix.ts';

const numbers = Array.from({ length: 32 }, (_, index) => index + 1);
const row = (number: number, links = '[a](../test/a.test.ts)'): string =>
  `| ${number} | dies | left | goes on | ${links} |`;
const table = (lines: readonly string[]) => ({
  path: 'docs/crash-matrix.md',
  text: `# Matrix\n\n${lines.join('\n')}\n`,
});
const titled = (rows: readonly number[], path = 'test/a.test.ts') => {
  return { path, text: rows.map((number) => `it('row ${number}: goes on', () => {});`).join('\n') };
};

describe('the check of the crash matrix', () => {
  it('finds nothing in a table of 32 rows that have tests', () => {
    expect(checkCrashMatrix([table(numbers.map((number) => row(number))), titled(numbers)])).toEqual([]);
  });

  it.each<[string, Parameters<typeof checkCrashMatrix>[0], RegExp]>([
    ['no table', [titled(numbers)], /is missing/],
    ['a missing row', [table(numbers.slice(1).map((number) => row(number))), titled(numbers)], /row 1 is missing/],
    [
      'a row without a test',
      [table(numbers.map((number) => row(number))), titled(numbers.slice(1))],
      /no test is named "row 1: /,
    ],
    [
      'a row that names none',
      [table(numbers.map((number) => row(number, number === 4 ? 'none' : undefined))), titled(numbers)],
      /row 4 names no test/,
    ],
    [
      'a link to a file without a test of the row',
      [table(numbers.map((number) => row(number))), titled(numbers.slice(1)), titled([1], 'test/b.test.ts')],
      /row 1 names test\/a\.test\.ts, which has no test "row 1: /,
    ],
    [
      'a test of a row that is not there',
      [table(numbers.map((number) => row(number))), titled([...numbers, 33])],
      /there is no row 33/,
    ],
  ])('tells of %s', (_what, files, problem) => {
    expect(checkCrashMatrix(files).join('\n')).toMatch(problem);
  });
});
