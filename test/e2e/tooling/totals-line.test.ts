import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { projectRoot } from '../../../scripts/steps.ts';

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** `npm test` over a folder of test files; the last line it prints and its exit code. */
function runTests(files: Record<string, string>): { last: string | undefined; status: number | null; output: string } {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-totals-'));
  folders.push(folder);
  symlinkSync(join(projectRoot, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'vitest.config.js'), 'export default {};');
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), `import { expect, test } from 'vitest';\n${text}`);
  }
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST')));
  const args = [
    join(projectRoot, 'scripts', 'test.ts'),
    '--root',
    folder,
    '--config',
    join(folder, 'vitest.config.js'),
  ];
  const { status, stderr, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
  return { last: stdout.trimEnd().split('\n').at(-1), status, output: stdout + stderr };
}

const passing = "test('passes', () => {});";
// Put together, so that this file itself leaves no test out.
const skipping = `test.${'skip'}('is left out', () => {});`;

test('ends with the totals alone on a line', () => {
  const run = runTests({ 'a.test.js': `${passing}${skipping}`, 'b.test.js': passing });
  expect(run).toMatchObject({ last: '2 passed, 0 failed, 1 skipped', status: 0 });
}, 60_000);

test('counts a failed test, a file that cannot be loaded and an error outside any test', () => {
  const run = runTests({
    'failing.test.js': `${passing}test('fails', () => expect(1).toBe(2));`,
    'broken.test.js': 'this is not JavaScript',
    'stray.test.js': `${passing}setTimeout(() => { throw new Error('stray'); }, 0); test('waits', () => new Promise((resolve) => setTimeout(resolve, 50)));`,
  });
  expect(run).toMatchObject({ last: '3 passed, 3 failed, 0 skipped', status: 1 });
}, 60_000);

test('fails when no test ran', () => {
  const run = runTests({ 'a.test.js': skipping });
  expect(run).toMatchObject({ last: '0 passed, 0 failed, 1 skipped', status: 1 });
  expect(run.output).toContain('no test ran');
  expect(runTests({})).toMatchObject({ last: '0 passed, 0 failed, 0 skipped', status: 1 });
}, 60_000);
