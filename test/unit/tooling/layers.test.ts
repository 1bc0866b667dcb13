import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { checkLayers, layers } from '../../../scripts/checks/layers.ts';
import { readModuleGraph } from '../../../scripts/checks/module-graph.ts';

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A source tree on disk: the checks read real files. */
function tree(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-layers-'));
  folders.push(folder);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

const base = { 'base/clock.ts': 'export const now = 1;\nexport type Clock = number;\n' };

describe('module graph', () => {
  test('finds every form of import, with its kind and line', () => {
    const folder = tree({
      'a.ts': [
        "import { b } from './b.ts';",
        "import type { B } from './b.ts';",
        "import { type C } from './c.ts';",
        "import './side.ts';",
        "export { d } from './d.ts';",
        "export type { E } from './e.ts';",
        "export * from './f.ts';",
        "const g = await import('./g.ts');",
        "type H = import('./h.ts').H;",
        "const worker = new URL('./worker.ts', import.meta.url);",
        "const text = \"import { no } from './not-code.ts'\"; // import { no } from './comment.ts'",
        "import type from './named-type.ts';",
        'import {',
        '  many,',
        "} from './many.ts';",
      ].join('\n'),
    });
    const found = readModuleGraph(folder).modules.get('a.ts')?.imports ?? [];
    const short = found.map(({ specifier, kind, line }) => `${line} ${kind} ${specifier}`);
    expect(short.sort((x, y) => Number.parseInt(x, 10) - Number.parseInt(y, 10))).toEqual([
      '1 value ./b.ts',
      '2 type ./b.ts',
      '3 value ./c.ts',
      '4 value ./side.ts',
      '5 value ./d.ts',
      '6 type ./e.ts',
      '7 value ./f.ts',
      '8 dynamic ./g.ts',
      '9 type ./h.ts',
      '10 dynamic ./worker.ts',
      '12 value ./named-type.ts',
      '13 value ./many.ts',
    ]);
  });
});

describe('layer check', () => {
  test('accepts imports that point down', () => {
    const folder = tree({
      ...base,
      'storage/store.ts': "import { now } from '../base/clock.ts';\nexport const at = now;\n",
      'checkpoint/log.ts':
        "import type { Clock } from '../base/clock.ts';\nimport { at } from '../storage/store.ts';\nat;\n",
    });
    expect(checkLayers(folder)).toEqual([]);
  });

  test.each([
    ['base/up.ts', "import { at } from '../storage/store.ts';", 'base may not import storage'],
    ['base/type.ts', "import type { At } from '../storage/store.ts';", 'base may not import storage'],
    ['base/dynamic.ts', "await import('../storage/store.ts');", 'base may not import storage'],
    ['checkpoint/sink.ts', "import type { Sink } from '../sinks/sink.ts';", 'checkpoint may not import sinks'],
    ['sources/x.ts', "import { run } from '../execution/run.ts';", 'sources may not import execution'],
    ['observe/x.ts', "export { at } from '../storage/store.ts';", 'observe may not import storage'],
    ['execution/fake.ts', "import { Faulty } from '../testing/faulty.ts';", 'execution may not import testing'],
    ['dstream/blob.ts', "import { blob } from '../sinks/blob.ts';", 'dstream may not import sinks'],
    ['dstream/log.ts', "import { log } from '../checkpoint/log.ts';", 'types from checkpoint only'],
    [
      'storage/s3.ts',
      "import { BlobServiceClient } from '@azure/storage-blob';",
      'only azure-*.ts files import an Azure SDK',
    ],
    ['sources/link.ts', "import rhea from 'rhea';", 'only azure-*.ts files and testing/ import rhea'],
    ['cellar/x.ts', "import { now } from '../base/clock.ts';", 'cellar is not in the layer table'],
    ['base/gone.ts', "import { gone } from './removed.ts';", 'does not exist'],
    ['base/outside.ts', "import { x } from '../../package.json';", 'does not exist'],
  ])('refuses %s: %s', (path, line, expected) => {
    const folder = tree({
      ...base,
      'storage/store.ts': 'export const at = 1;\nexport type At = number;\n',
      'sinks/sink.ts': 'export type Sink = number;\n',
      'sinks/blob.ts': 'export const blob = 1;\n',
      'execution/run.ts': 'export const run = 1;\n',
      'testing/faulty.ts': 'export const Faulty = 1;\n',
      'checkpoint/log.ts': 'export const log = 1;\n',
      [path]: `\n${line}\n`,
    });
    const problems = checkLayers(folder);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`${path}:2: `);
    expect(problems[0]).toContain(expected);
  });

  test('accepts the exceptions: contracts and types in dstream, an SDK in azure files, rhea in testing', () => {
    const folder = tree({
      'sinks/sink.ts': 'export const sink = 1;\n',
      'checkpoint/records.ts': 'export type R = 1;\n',
      'dstream/save.ts':
        "import { sink } from '../sinks/sink.ts';\nimport type { R } from '../checkpoint/records.ts';\nsink;\n",
      'storage/azure-blob-store.ts': "import { BlobServiceClient } from '@azure/storage-blob';\n",
      'testing/emulator.ts': "import rhea from 'rhea';\n",
      'testing.ts': "export { x } from './testing/x.ts';\n",
      'testing/x.ts': 'export const x = 1;\n',
    });
    expect(checkLayers(folder)).toEqual([]);
  });

  test('reports a cycle of modules that load each other, once', () => {
    const folder = tree({
      'rdd/a.ts': "import { b } from './b.ts';\nexport const a = b;\n",
      'rdd/b.ts': "import { c } from './c.ts';\nexport const b = c;\n",
      'rdd/c.ts': "export { a as c } from './a.ts';\n",
    });
    expect(checkLayers(folder)).toEqual(['import cycle: rdd/a.ts -> rdd/b.ts -> rdd/c.ts -> rdd/a.ts']);
  });

  test('does not count a type import or a late import as a cycle', () => {
    const folder = tree({
      'rdd/a.ts': "import type { B } from './b.ts';\nexport type A = B;\n",
      'rdd/b.ts': "export type { A as B } from './a.ts';\nawait import('./a.ts');\n",
    });
    expect(checkLayers(folder)).toEqual([]);
  });

  test('fails on a module it cannot read, whatever is wrong with it', () => {
    const broken = tree({ ...base, 'base/broken.ts': 'export const = ;\n' });
    expect(checkLayers(broken).join('\n')).toMatch(/base\/broken\.ts: not read[\s\S]*read 1 modules, but .* has 2/);
    const foreign = tree({ ...base, 'base/old.mjs': "import '../storage/store.ts';\n" });
    expect(checkLayers(foreign).join('\n')).toMatch(/base\/old\.mjs: not read[\s\S]*read 1 modules, but .* has 2/);
  });

  test('fails when a reader passes over modules in silence', () => {
    const folder = tree(base);
    expect(checkLayers(folder, layers, { modules: new Map(), unread: [] })[0]).toMatch(/read 0 modules, but .* has 1/);
    expect(checkLayers(tree({}))[0]).toMatch(/read 0 modules, but .* has 0/);
  });
});
