import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { TidemarkError, toError } from '../base/errors.ts';

export interface AzuriteOptions {
  /** Folder for the data. Default: in memory, gone with the process. */
  readonly location?: string | undefined;
  /** Default 0: any free port. */
  readonly port?: number | undefined;
  /** How long the start may take. Default 30,000. */
  readonly startTimeoutMs?: number | undefined;
}

export interface Azurite {
  readonly connectionString: string;
  readonly port: number;
  /** Ends the process; data on disk is complete afterwards. Idempotent. */
  stop(): Promise<void>;
}

const account = 'devstoreaccount1';
// The key that is published with every Azure storage emulator. It opens nothing else.
const accountKey = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';
const stopTimeoutMs = 5_000;

// Runs in the child before Azurite. The channel to the parent closes when the parent ends, however it ends (also by
// SIGKILL); Azurite then saves and leaves. It does not leave by itself, so its last line is the sign to exit.
const watchdog = `const log = console.log;
console.log = (...line) => {
  if (String(line[0]).includes('successfully closed')) process.exit(0);
  log(...line);
};
process.on('disconnect', () => {
  process.emit('message', 'shutdown');
  setTimeout(() => process.exit(0), 3000).unref();
});`;

/**
 * Starts Azurite's blob service as a child process that ends with this one.
 *
 * Azurite keeps its index in memory and saves it every few seconds: kill the engine in a crash test, never Azurite.
 *
 * @throws TidemarkError DEPENDENCY_MISSING without the package `azurite`; STORE_UNAVAILABLE when it does not come up
 */
export async function startAzurite(options: AzuriteOptions = {}): Promise<Azurite> {
  const { location, port = 0, startTimeoutMs = 30_000 } = options;
  const child = spawn(
    process.execPath,
    [
      '--import',
      `data:text/javascript,${encodeURIComponent(watchdog)}`,
      resolveAzurite(),
      // The SDK is always ahead of the API version Azurite knows.
      '--skipApiVersionCheck',
      '--disableTelemetry',
      '--silent',
      '--blobHost',
      '127.0.0.1',
      '--blobPort',
      String(port),
      ...(location === undefined ? ['--inMemoryPersistence'] : ['--location', location]),
    ],
    { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: environment() },
  );
  const boundPort = await readPort(child, startTimeoutMs);
  const endpoint = `http://127.0.0.1:${boundPort}/${account}`;
  let stopping: Promise<void> | undefined;
  return {
    connectionString: `DefaultEndpointsProtocol=http;AccountName=${account};AccountKey=${accountKey};BlobEndpoint=${endpoint};`,
    port: boundPort,
    stop: () => (stopping ??= stop(child)),
  };
}

function resolveAzurite(): string {
  const entry = 'azurite/dist/src/blob/main.js';
  const workingFolder = pathToFileURL(`${process.cwd()}/package.json`);
  for (const base of [import.meta.url, workingFolder]) {
    try {
      return createRequire(base).resolve(entry);
    } catch {
      // Not installed beside this package; perhaps beside the program.
    }
  }
  throw new TidemarkError(
    'DEPENDENCY_MISSING',
    'startAzurite() needs the package "azurite": npm install --save-dev azurite',
  );
}

/** Without settings of another Azurite on this machine: other accounts would make the connection string wrong. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('AZURITE_') && name !== 'NODE_OPTIONS'),
  );
}

function readPort(child: ChildProcess, timeoutMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let printed = '';
    const fail = (what: string, cause?: unknown): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new TidemarkError('STORE_UNAVAILABLE', `Azurite ${what}. ${printed.trim()}`, { cause }));
    };
    const timer = setTimeout(() => fail(`did not start within ${timeoutMs} ms`), timeoutMs);
    const read = (chunk: Buffer): void => {
      // Enough for the ready line and for an error; what comes later is read and dropped, so that the pipe stays empty.
      if (printed.length < 10_000) printed += chunk.toString();
      const match = /successfully listens on \S+:(\d+)/.exec(printed);
      if (match === null) return;
      clearTimeout(timer);
      resolve(Number(match[1]));
    };
    child.stdout!.on('data', read);
    child.stderr!.on('data', read);
    child.once('error', (error) => fail('could not be started', toError(error)));
    child.once('exit', (code, signal) => fail(`ended while starting (${signal ?? `exit code ${code}`})`));
  });
}

function stop(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    // The same way as when this process dies: the channel closes.
    if (child.connected) child.disconnect();
    else child.kill('SIGTERM');
  });
}
