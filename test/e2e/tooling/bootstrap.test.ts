import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from 'vitest';
import { projectRoot } from '../../../scripts/steps.ts';

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A project whose one dependency is a folder, so that npm ci needs no network; its script tells how it was run. */
function project(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-bootstrap-'));
  folders.push(folder);
  mkdirSync(join(folder, 'scripts'));
  copyFileSync(join(projectRoot, 'scripts', 'bootstrap.mjs'), join(folder, 'scripts', 'bootstrap.mjs'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'fresh', version: '1.0.0', dependencies }));
  mkdirSync(join(folder, 'tool'));
  writeFileSync(join(folder, 'tool', 'package.json'), JSON.stringify({ name: 'tool', version: '1.0.0' }));
  writeLock(folder, '1.0.0');
  const script = [
    'const code: number = Number(process.argv[2] ?? 0);',
    'console.log(JSON.stringify({ args: process.argv.slice(2), path: process.env.PATH, pid: process.pid }));',
    "if (process.argv[3] === 'wait') setInterval(() => {}, 1000);",
    'else process.exitCode = code;',
  ];
  writeFileSync(join(folder, 'scripts', 'script.ts'), script.join('\n'));
  return folder;
}

const dependencies = { tool: 'file:tool' };

function writeLock(folder: string, version: string): void {
  const lock = {
    name: 'fresh',
    version,
    lockfileVersion: 3,
    requires: true,
    packages: {
      '': { name: 'fresh', version: '1.0.0', dependencies },
      'node_modules/tool': { resolved: 'tool', link: true },
      tool: { version: '1.0.0' },
    },
  };
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock));
}

// Without what npm has put into this process: the project is another one.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_|^NODE_OPTIONS$|^VITEST/.test(name)),
);

function bootstrap(folder: string, args: readonly string[] = [], nodeArgs: readonly string[] = []) {
  return spawnSync(process.execPath, [...nodeArgs, join('scripts', 'bootstrap.mjs'), 'scripts/script.ts', ...args], {
    cwd: folder,
    env,
    encoding: 'utf8',
  });
}

describe('bootstrap', () => {
  test('installs once, and again when the lock file has changed', () => {
    const folder = project();
    expect(bootstrap(folder).stderr).toMatch(/^Installing dependencies[\s\S]*Installed in \d+ s/);
    expect(existsSync(join(folder, 'node_modules', '.tidemark-installed'))).toBe(true);
    expect(bootstrap(folder).stderr).toBe('');
    writeLock(folder, '1.0.1');
    expect(bootstrap(folder).stderr).toContain('Installing dependencies');
    expect(bootstrap(folder).stderr).toBe('');
  }, 60_000);

  test('takes the word of npm when somebody has run npm ci by hand', () => {
    const folder = project();
    mkdirSync(join(folder, 'node_modules'));
    writeFileSync(join(folder, 'node_modules', '.package-lock.json'), '{}');
    expect(bootstrap(folder).stderr).toBe('');
  });

  test('passes arguments, exit code and the tools on the path', () => {
    const folder = project();
    const { status, stdout } = bootstrap(folder, ['7', 'two words', '--flag']);
    const seen = JSON.parse(stdout) as { args: string[]; path: string };
    expect(status).toBe(7);
    expect(seen.args).toEqual(['7', 'two words', '--flag']);
    expect(seen.path).toMatch(/^[^:;]*node_modules[/\\]\.bin/);
  }, 60_000);

  test('says what to do when no Node that reads TypeScript is there', () => {
    const folder = project();
    // The same as an old Node to the bootstrap: this process cannot read TypeScript.
    const { status, stderr } = bootstrap(folder, [], ['--no-strip-types']);
    expect(status).toBe(1);
    expect(stderr).toContain('Tidemark needs Node 22.18 or later. This is Node');
  }, 60_000);

  test('says so when npm ci fails, and does not go on', () => {
    const folder = project();
    writeFileSync(
      join(folder, 'package.json'),
      JSON.stringify({
        name: 'fresh',
        version: '1.0.0',
        dependencies: { ...dependencies, 'not-in-the-lock': 'file:elsewhere' },
      }),
    );
    const { status, stderr, stdout } = bootstrap(folder);
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain('npm ci failed');
    expect(existsSync(join(folder, 'node_modules', '.tidemark-installed'))).toBe(false);
  }, 60_000);

  test('runs the script on the pinned Node, passes signals to it and ends as it ends', async () => {
    const folder = project();
    mkdirSync(join(folder, 'node_modules', '.bin'), { recursive: true });
    mkdirSync(join(folder, 'node_modules', 'node', 'bin'), { recursive: true });
    writeFileSync(join(folder, 'node_modules', '.package-lock.json'), '{}');
    // A copy, so that it is another file than the Node this process runs on.
    const pinned = join(folder, 'node_modules', 'node', 'bin', 'node');
    copyFileSync(process.execPath, pinned);
    copyFileSync(process.execPath, join(folder, 'node_modules', '.bin', 'node'));
    expect(bootstrap(folder, ['3']).status).toBe(3);

    const child = spawn(process.execPath, [join('scripts', 'bootstrap.mjs'), 'scripts/script.ts', '0', 'wait'], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const { pid } = JSON.parse(line) as { pid: number };
    expect(pid).not.toBe(child.pid);
    child.kill('SIGTERM');
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
    expect({ code, signal }).toEqual({ code: null, signal: 'SIGTERM' });
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  }, 60_000);
});

test('the lock file has no download addresses and lists every package that its packages name', () => {
  const lock = JSON.parse(readFileSync(join(projectRoot, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { resolved?: string; optionalDependencies?: Record<string, string> }>;
  };
  const entries = Object.entries(lock.packages);
  expect(entries.length).toBeGreaterThan(300);
  expect(entries.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  // npm leaves platform packages that are not published yet out of the lock, and then npm ci refuses it.
  const missing = entries.flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => !(`node_modules/${name}` in lock.packages) && !(`${path}/node_modules/${name}` in lock.packages),
    ),
  );
  expect(missing).toEqual([]);
});
