import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildPackage } from '../../../scripts/build-package.ts';
import { projectRoot } from '../../../scripts/steps.ts';

interface PackageJson {
  readonly version: string;
  readonly dependencies: Record<string, string>;
  readonly exports: Record<string, unknown>;
}

const { dependencies, exports, version } = JSON.parse(
  readFileSync(join(projectRoot, 'package.json'), 'utf8'),
) as PackageJson;
const folder = mkdtempSync(join(tmpdir(), 'tidemark-package-'));
const installed = join(folder, 'node_modules', 'tidemark');
const entries = Object.keys(exports)
  .filter((name) => name !== './package.json')
  .map((name) => name.replace(/^\./, 'tidemark'));

// What a user has after `npm install tidemark`: the unpacked archive and the declared dependencies, nothing else of ours.
beforeAll(async () => {
  const stage = join(folder, 'stage');
  mkdirSync(stage);
  expect(await buildPackage(join(stage, 'dist'))).toBe(true);
  for (const file of ['package.json', 'LICENSE'])
    writeFileSync(join(stage, file), readFileSync(join(projectRoot, file)));
  mkdirSync(installed, { recursive: true });
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
      cwd: stage,
      encoding: 'utf8',
    }),
  ) as { filename: string }[];
  execFileSync('tar', ['-xzf', join(folder, packed!.filename), '-C', installed, '--strip-components=1']);
  for (const name of [...Object.keys(dependencies), '@types/node']) {
    const link = join(folder, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(projectRoot, 'node_modules', name), link);
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
}

interface Watched {
  readonly loaded: readonly string[];
  readonly batches: readonly unknown[][];
  readonly stderr: string;
}

/** Runs a program that fills an array `batches`, and tells which modules were loaded meanwhile, however they were. */
function runWatched(program: string): Watched {
  const hooks = join(folder, 'hooks.mjs');
  writeFileSync(
    hooks,
    `import { registerHooks } from 'node:module';
    const loaded = [];
    globalThis.batches = [];
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
    process.on('exit', () => console.log(JSON.stringify({ loaded, batches })));`,
  );
  writeFileSync(join(folder, 'watched.mjs'), program);
  const { stdout, stderr } = run('--import', pathToFileURL(hooks).href, 'watched.mjs');
  return { ...(JSON.parse(stdout) as Omit<Watched, 'stderr'>), stderr };
}

describe('the packed package', () => {
  test('holds the built files and nothing of the repository besides', () => {
    const top = readdirSync(installed).sort();
    expect(top).toEqual(['LICENSE', 'dist', 'package.json']);
    const files = readdirSync(join(installed, 'dist'), { recursive: true }).map(String);
    expect(files.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))).toEqual([]);
    expect(files).toContain(join('cli', 'main.js'));
  });

  test.each(entries)('is imported as %s with nothing but its declared dependencies', (entry) => {
    const program = `const names = Object.keys(await import(${JSON.stringify(entry)})); console.log(names.length);`;
    const { status, stderr, stdout } = run('--input-type=module', '--eval', program);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(Number(stdout)).toBeGreaterThan(0);
  });

  // A program pays at its start for what it loads: files of ours, and SDKs that it may never need.
  test('loads no SDK, and few files, for a program without Azure', () => {
    const { loaded, batches, stderr } = runWatched(`
      import { Milliseconds, StreamingContext } from 'tidemark';
      const url = ${JSON.stringify(pathToFileURL(join(folder, 'checkpoint')).href)};
      const ssc = await StreamingContext.getOrCreate(url, () => {
        const context = new StreamingContext({ appName: 'lean', batchInterval: Milliseconds(20), startReport: false });
        const words = context.constantStream(['a', 'b']).map((word) => [word, 1]);
        words.updateStateByKey((values, sum) => (sum ?? 0) + values.length).foreachRDD(async (rdd) => {
          batches.push(await rdd.collect());
          if (batches.length === 2) ssc.stop();
        });
        return context;
      });
      await ssc.start();
      await ssc.awaitTermination();
    `);
    expect(stderr).toBe('');
    expect(batches.map((rows) => rows.sort())).toEqual([
      [
        ['a', 1],
        ['b', 1],
      ],
      [
        ['a', 2],
        ['b', 2],
      ],
    ]);
    const packages = new Set(loaded.flatMap((url) => url.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1] ?? []));
    expect([...packages].filter((name) => /^@azure|^rhea/.test(name))).toEqual([]);
    expect(packages).toContain('msgpackr');
    expect(loaded.filter((url) => url.includes('/tidemark/')).length).toBeLessThan(40);
  });

  test('runs on worker threads', () => {
    const file = join(folder, 'threads.mjs');
    writeFileSync(
      file,
      `import { Milliseconds, StreamingContext } from 'tidemark';
      const ssc = new StreamingContext({
        appName: 'threads', batchInterval: Milliseconds(20), startReport: false, master: 'local[2]', module: import.meta.url,
      });
      ssc.constantStream(['a', 'b', 'a']).map((word) => [word, 1]).reduceByKey((a, b) => a + b).foreachRDD(async (rdd) => {
        console.log(JSON.stringify((await rdd.collect()).sort()));
        ssc.stop();
      });
      await ssc.start();
      await ssc.awaitTermination();`,
    );
    expect(run(file)).toEqual(expect.objectContaining({ status: 0, stderr: '', stdout: '[["a",2],["b",1]]\n' }));
  });

  test('gives its types to a strict program', () => {
    const imports = entries.map(
      (entry, index) => `import * as entry${index} from '${entry}';\nconsole.log(entry${index});`,
    );
    // One call with a wrong option: were the types missing (any), the directive would be reported as unused.
    const program = `${imports.join('\n')}\nimport { startAzurite } from 'tidemark/testing';\n// @ts-expect-error there is no such option\nvoid startAzurite({ colour: 'red' });\n`;
    writeFileSync(join(folder, 'program.ts'), program);
    const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2024', '--types', 'node'];
    const tsc = spawnSync(join(projectRoot, 'node_modules', '.bin', 'tsc'), [...options, 'program.ts'], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(tsc.stdout).toBe('');
    expect(tsc.status).toBe(0);
  });

  test('brings the command tidemark', () => {
    const bin = join(installed, 'dist', 'cli', 'main.js');
    expect(readFileSync(bin, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(run(bin, '--help')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^usage: tidemark/),
      stderr: '',
    });
    expect(run(bin, '--version')).toMatchObject({ status: 0, stdout: `${version}\n` });
    expect(run(bin, 'emulator', '--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('--port') });
    expect(run(bin, 'emulatr')).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringContaining('no command "emulatr"'),
    });
  });
});
