import { describe, expect, test } from 'vitest';
import { parseFolderPattern } from '../../../src/sources/files/folder-pattern.ts';
import { newFiles, rememberMs } from '../../../src/sources/files/new-files.ts';

describe('derived-file-stream.file-selection', () => {
  // Facts about Spark's file stream: name and modification time of each file.
  test.each([
    {
      batch: 10_000,
      threshold: 0,
      files: [
        ['a', 10_000],
        ['b', 10_001],
        ['c', 9999],
        ['.d', 9000],
      ],
      chosen: [],
      expected: ['a', 'c'],
    },
    {
      batch: 100_000,
      threshold: 0,
      files: [
        ['old', 40_000],
        ['edge', 40_001],
        ['new', 99_000],
      ],
      chosen: [],
      expected: ['edge', 'new'],
    },
    {
      batch: 100_000,
      threshold: 95_000,
      files: [
        ['before', 95_000],
        ['after', 95_001],
      ],
      chosen: [],
      expected: ['after'],
    },
    {
      batch: 100_000,
      threshold: 0,
      files: [
        ['seen', 98_000],
        ['fresh', 98_000],
      ],
      chosen: ['seen'],
      expected: ['fresh'],
    },
  ] as const)(
    'batch $batch, threshold $threshold, chosen before $chosen > $expected',
    ({ batch, threshold, files, chosen, expected }) => {
      const listed = files.map(([name, modifiedMs]) => ({ name, path: name, sizeBytes: 1, modifiedMs }));
      const found = newFiles(listed, {
        batchTimeMs: batch,
        initialThresholdMs: threshold,
        rememberMs: 60_000,
        listedMs: batch - 1000,
        isRecent: ({ name }) => (chosen as readonly string[]).includes(name),
        filter: ({ name }) => !name.startsWith('.'),
      });
      expect(found.map(({ name }) => name)).toEqual(expected);
    },
  );
});

test('after an outage a batch looks back to the last good listing', () => {
  const file = { name: 'a', path: 'a', sizeBytes: 1, modifiedMs: 10_000 };
  const rule = {
    batchTimeMs: 200_000,
    initialThresholdMs: 0,
    rememberMs: 60_000,
    isRecent: () => false,
    filter: () => true,
  };
  expect(newFiles([file], { ...rule, listedMs: 199_000 })).toEqual([]);
  expect(newFiles([file], { ...rule, listedMs: 9000 })).toEqual([file]);
});

test('the remembered time is a whole number of batches', () => {
  expect(rememberMs(60_000, 1000)).toBe(60_000);
  expect(rememberMs(60_000, 7000)).toBe(63_000);
  expect(rememberMs(60_000, 300_000)).toBe(300_000);
});

describe('folder patterns', () => {
  test.each([
    ['/data/in', '/data/in', 0],
    ['/data/in/', '/data/in', 0],
    ['/data/*/in', '/data', 2],
    ['in-?', '', 1],
  ])('%s begins with %s and has %i segments more', (path, root, count) => {
    const found = parseFolderPattern(path);
    expect([found.root, found.segments.length]).toEqual([root, count]);
  });

  test.each([
    ['*', ['a', 'long.name'], []],
    ['day-?', ['day-1'], ['day-', 'day-12']],
    ['[ab]x', ['ax', 'bx'], ['cx']],
    ['[^ab]x', ['cx'], ['ax']],
    ['{one,two*}', ['one', 'two', 'two2'], ['one2', 'three']],
    ['a.b(c)*', ['a.b(c)d'], ['axb(c)d']],
  ])('%s takes what it names and nothing else', (pattern, taken, left) => {
    const [form] = parseFolderPattern(pattern).segments;
    for (const name of taken) expect(name).toMatch(form!);
    for (const name of left) expect(name).not.toMatch(form!);
  });
});
