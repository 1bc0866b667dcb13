/**
 * First step of every npm script: `node scripts/bootstrap.mjs <script.ts> [arguments]`.
 *
 * Makes sure that the dependencies are installed and that the script runs on a Node that reads TypeScript, so that
 * `npm start` and `npm test` work as the first command in a fresh clone. Runs on Node 20 itself, with nothing but
 * Node's own modules. When everything is in place it costs one hash of the lock file and runs the script in this process.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const binFolder = join(modules, '.bin');
const stampFile = join(modules, '.tidemark-installed');
const lockFile = join(root, 'package-lock.json');

const [script, ...args] = process.argv.slice(2);
if (script === undefined) fail('usage: node scripts/bootstrap.mjs <script.ts> [arguments]');

const lockHash = createHash('sha256').update(readFileSync(lockFile)).digest('hex');
if (!isInstalled()) install();

const own = realpathSync(process.execPath);
const node = chooseNode();
const searchPath = (process.env.PATH ?? '').split(delimiter);
if (!searchPath.includes(binFolder)) process.env.PATH = [binFolder, ...searchPath].join(delimiter);
if (node === own) {
  process.argv = [process.execPath, resolve(root, script), ...args];
  await import(pathToFileURL(resolve(root, script)).href);
} else {
  runOn(node);
}

/** The stamp holds the hash of the lock file the last install was made from. */
function isInstalled() {
  if (existsSync(stampFile)) return readFileSync(stampFile, 'utf8') === lockHash;
  // npm writes this file last: somebody ran `npm ci` by hand after the lock file was written.
  const npmRecord = join(modules, '.package-lock.json');
  if (!existsSync(npmRecord) || statSync(npmRecord).mtimeMs < statSync(lockFile).mtimeMs) return false;
  writeFileSync(stampFile, lockHash);
  return true;
}

function install() {
  console.error('Installing dependencies with npm ci (about a minute) ...');
  const startedMs = Date.now();
  const installed = npmCi([]) || (readsTypeScript(process.execPath) && npmCi(['--ignore-scripts']));
  if (!installed) fail('npm ci failed, see its messages above. Correct the cause and run the command again.');
  writeFileSync(stampFile, lockHash);
  console.error(`Installed in ${Math.round((Date.now() - startedMs) / 1000)} s.`);
}

/**
 * On the machine's own Node and npm: node_modules, and a Node in it, are removed while npm ci runs.
 * `--include=dev` because NODE_ENV=production would leave out the tools.
 */
function npmCi(options) {
  const npm = process.env.npm_execpath;
  const command = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error', ...options];
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.endsWith(join('node_modules', '.bin')));
  const env = { ...process.env, PATH: path.join(delimiter) };
  const run =
    npm !== undefined && basename(npm).startsWith('npm') && npm.endsWith('.js')
      ? spawnSync('node', [npm, ...command], { cwd: root, env, stdio: ['ignore', 2, 2] })
      : spawnSync('npm', command, { cwd: root, env, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
  if (run.error) console.error(`npm could not be started: ${run.error.message}`);
  return run.status === 0;
}

/** The Node that the project pins, or else the one that runs this file. */
function chooseNode() {
  const pinned = join(binFolder, process.platform === 'win32' ? 'node.cmd' : 'node');
  const pinnedBinary = join(modules, 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (existsSync(pinned) && existsSync(pinnedBinary)) {
    const binary = realpathSync(pinnedBinary);
    if (binary === own || readsTypeScript(binary)) return binary;
  }
  if (readsTypeScript(process.execPath)) return own;
  fail(
    `Tidemark needs Node 22.18 or later. This is Node ${process.versions.node}, and the npm package "node" that brings ` +
      `its own could not be installed or does not run here (${process.platform} ${process.arch}). ` +
      'Install a newer Node, or allow install scripts (npm config get ignore-scripts) and remove node_modules, then try again.',
  );
}

function readsTypeScript(binary) {
  if (binary === process.execPath)
    return process.features.typescript !== undefined && Boolean(process.features.typescript);
  const probe = spawnSync(binary, ['-p', 'Boolean(process.features.typescript)'], { encoding: 'utf8' });
  return probe.status === 0 && probe.stdout.trim() === 'true';
}

/**
 * Another Node runs the script; this process only passes signals on and ends as it ends. The IPC channel carries nothing:
 * its end tells a script that cares that this process was killed.
 */
function runOn(binary) {
  const child = spawn(binary, [resolve(root, script), ...args], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => fail(`${binary} could not be started: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
