import { fork } from 'node:child_process';
import { join } from 'node:path';
import { projectRoot } from '../scripts/steps.ts';
import { startAzurite } from '../src/testing/azurite.ts';
import type { Bench } from './bench.ts';
import { buildProgram } from './built-program.ts';
import { median } from './median.ts';
import { alone } from './result.ts';

const keys = 100_000;
const repeats = 5;

interface Life {
  readonly firstBatchMs: number;
  readonly startedMs: number;
  readonly engineMs: number;
  readonly stateKeys: number;
}

function live(program: string, url: string, batches: number, connectionString: string): Promise<Life> {
  const bornMs = performance.now();
  const child = fork(program, [url, String(keys), String(batches)], {
    env: {
      ...process.env,
      AZURE_STORAGE_CONNECTION_STRING: connectionString,
      NODE_COMPILE_CACHE: join(projectRoot, '.local', 'compile-cache'),
    },
  });
  return new Promise((resolve, reject) => {
    let started = { startedMs: 0, engineMs: 0, stateKeys: 0 };
    let firstBatchMs = 0;
    child.on('message', (message: { type: string; tookMs: number; stateKeys: number }) => {
      const sinceBirthMs = performance.now() - bornMs;
      if (message.type === 'started') {
        started = { startedMs: sinceBirthMs, engineMs: message.tookMs, stateKeys: message.stateKeys };
      } else if (firstBatchMs === 0) {
        firstBatchMs = sinceBirthMs;
      }
    });
    child.on('exit', (code) =>
      code === 0 ? resolve({ ...started, firstBatchMs }) : reject(new Error(`exit ${code}`)),
    );
  });
}

export const bench: Bench = {
  title: `Recovery with ${keys.toLocaleString('en-US')} keys of state`,
  measures:
    'From the start of the process to its first new batch, checkpoint in Azurite on this machine, 100 ms batches, median of 5. ' +
    'Includes the start of Node and the loading of the SDKs, from the compile cache (NODE_COMPILE_CACHE); the program is built as the package is. ' +
    'Says nothing about the latency of Azure.',
  run: async ({ rounds }) => {
    const { file } = await buildProgram('recovery-process.ts');
    const azurite = await startAzurite();
    try {
      const url = 'az://recovery-bench/stream';
      await live(file, url, 120, azurite.connectionString);
      const lives: Life[] = [];
      for (let i = 0; i < rounds(repeats); i++) lives.push(await live(file, url, 2, azurite.connectionString));
      const table = {
        title: 'median of the lives',
        rows: [
          {
            'state keys': lives[0]!.stateKeys,
            'engine start ms (read, fence, state, sources)': Math.round(median(lives.map((life) => life.engineMs))),
            'process start to driver ready ms': Math.round(median(lives.map((life) => life.startedMs))),
            'process start to first new batch ms': Math.round(median(lives.map((life) => life.firstBatchMs))),
          },
        ],
      };
      const start = alone({
        what: `process start to the first new batch, ${keys.toLocaleString('en-US')} keys of state`,
        unit: 'ms',
        ours: lives.map(({ firstBatchMs }) => firstBatchMs),
      });
      return { tables: [table], rows: [start] };
    } finally {
      await azurite.stop();
    }
  },
};
