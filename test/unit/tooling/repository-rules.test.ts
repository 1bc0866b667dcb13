import { describe, expect, test } from 'vitest';
import { checkRepository } from '../../../scripts/checks/repository-rules.ts';

const exists = (): boolean => true;
// Put together here, so that this file itself passes the check.
const join = (...parts: string[]): string => parts.join('');
const fakeKey = 'A1b2C3d4'.repeat(5);

describe('repository check', () => {
  test.each([
    ['package-lock.json', join('"resolved', '": "https://example.org/a.tgz"'), 'download address'],
    ['.npmrc', join('registry=https://', 'registry.example.org/npm'), 'download address'],
    ['docs/a.md', join('see /', 'home/alice/project'), 'path of one machine'],
    ['docs/a.md', join('see C:\\', 'Users\\alice'), 'path of one machine'],
    ['azurite.json', join('Account', `Key=${fakeKey}==`), 'secret'],
    ['scripts/a.ts', join('SharedAccess', `Key=${fakeKey}=`), 'secret'],
    ['docs/a.md', join('-----BEGIN ', 'RSA PRIVATE KEY-----'), 'secret'],
    ['docs/a.md', join('https://a.blob.core.windows.net/c?sv=1&', `sig=${'a1'.repeat(22)}%3D`), 'secret'],
    ['test/unit/a.test.ts', join('test.', "only('x', () => {})"), 'every test runs'],
    ['test/unit/a.test.ts', join('describe.', "skip('x', () => {})"), 'every test runs'],
    ['test/unit/a.test.ts', join('it.', "skip.each([1])('x', () => {})"), 'every test runs'],
    ['test/unit/a.test.ts', join('test.concurrent.', "only('x', () => {})"), 'every test runs'],
    ['test/unit/a.test.ts', join('test.', "skipIf(win)('x', () => {})"), 'every test runs'],
    ['src/base/a.ts', join('// TO', 'DO later'), 'do it'],
  ])('finds in %s: %s', (path, text, expected) => {
    const problems = checkRepository([{ path, text: `first line\n${text}\n` }], exists);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`${path}:2: `);
    expect(problems[0]).toContain(expected);
  });

  test('accepts what is public or only looks similar', () => {
    const texts = [
      join('Account', 'Key=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='),
      join('SharedAccess', 'Key=SAS_KEY_VALUE;UseDevelopmentEmulator=true'),
      'https://learn.microsoft.com/azure/event-hubs',
      'src/home/page.ts and test.each([1])',
      'file:///var/lib/tidemark',
    ];
    expect(checkRepository([{ path: 'docs/a.md', text: texts.join('\n') }], exists)).toEqual([]);
  });

  test.each(['isolate-0x1-2-v8.log', 'CPU.1.cpuprofile', 'src/a.ts.orig'])('refuses %s', (path) => {
    expect(checkRepository([{ path, text: 'x\n' }], exists)).toEqual([
      `${path}: left behind by a profiler or a crash; delete it, or have it ignored`,
    ]);
  });

  test('limits the length of a source file, not of a test', () => {
    const text = 'x;\n'.repeat(401);
    expect(checkRepository([{ path: 'src/base/long.ts', text }], exists)).toEqual([
      'src/base/long.ts: 401 lines, at most 400: one idea per file',
    ]);
    expect(checkRepository([{ path: 'src/base/fits.ts', text: 'x;\n'.repeat(400) }], exists)).toEqual([]);
    expect(checkRepository([{ path: 'test/unit/long.test.ts', text }], exists)).toEqual([]);
  });

  test('follows links between documents to files and headings', () => {
    const guide = '# Guide\n\n## Run it, twice\n\n## Run it, twice\n\n[up](../README.md) [here](#run-it-twice-1)\n';
    const readme = [
      '[guide](docs/guide.md#run-it-twice)',
      '[gone](docs/gone.md)',
      '[no heading](docs/guide.md#run-it-never)',
      '[web](https://example.org/x) `[code](nowhere.md)`',
      '```\n[code](nowhere.md)\n```',
    ].join('\n');
    const files = [
      { path: 'docs/guide.md', text: guide },
      { path: 'README.md', text: readme },
    ];
    const problems = checkRepository(files, (path) => files.some((file) => file.path === path));
    expect(problems).toEqual([
      'README.md:2: link to docs/gone.md: there is no docs/gone.md',
      'README.md:3: link to docs/guide.md#run-it-never: docs/guide.md has no heading of that name',
    ]);
  });
});
