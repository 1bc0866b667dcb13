import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { projectRoot } from '../../scripts/steps.ts';

const packages = { lmdb: '3.5.6', '@slatedb/uniffi': '0.12.1' } as const;
const folder = join(projectRoot, '.local', 'peers', 'stores');

/**
 * Brings embedded stores from npm into `.local/peers`; they are no dependencies of ours. Gives the reason as a text when
 * they can't be had.
 */
export function installStores(): string | undefined {
  if (existsSync(join(folder, 'complete'))) return undefined;
  console.log('installing lmdb and @slatedb/uniffi into .local/peers (150 MB, once)');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }');
  const wanted = Object.entries(packages).map(([name, version]) => `${name}@${version}`);
  const { status, stderr, error } = spawnSync('npm', ['install', '--no-audit', '--no-fund', ...wanted], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 300_000,
  });
  if (status !== 0) return `npm could not install them: ${error?.message ?? stderr.trim().split('\n').at(-1)}`;
  writeFileSync(join(folder, 'complete'), '');
  return undefined;
}

/** A module of an installed store. */
export async function loadStore(name: keyof typeof packages): Promise<unknown> {
  const path =
    name === 'lmdb'
      ? createRequire(join(folder, 'package.json')).resolve(name)
      : join(folder, 'node_modules', name, 'index.js');
  return import(pathToFileURL(path).href);
}
