import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { lineOf } from './lines.ts';

/**
 * What two cores of this machine give at best: word count as a bare loop, in one process and in two that share nothing. Cores
 * share caches, memory and, on a rented machine, time with others, so that is less than twice as much. Started as a program
 * of its own, it is one of the two.
 */
export interface TwoProcesses {
  /** How many times the lines of one process alone two get through: by the wall clock, and by their CPU time. */
  readonly measure: () => Promise<{ readonly byWall: number; readonly byCpu: number }>;
  readonly stop: () => void;
}

interface Took {
  readonly wallMs: number;
  readonly cpuMs: number;
}

const lines = 50_000;
const self = fileURLToPath(import.meta.url);

export async function startTwoProcesses(): Promise<TwoProcesses> {
  const processes = [fork(self), fork(self)];
  await Promise.all(processes.map((child) => once(child, 'message')));
  return {
    measure: async () => {
      const alone = await loop(processes[0]!);
      const both = await Promise.all(processes.map(loop));
      const slowest = (of: (took: Took) => number): number => Math.max(...both.map(of));
      return {
        byWall: (2 * alone.wallMs) / slowest(({ wallMs }) => wallMs),
        byCpu: (2 * alone.cpuMs) / slowest(({ cpuMs }) => cpuMs),
      };
    },
    stop: () => {
      for (const child of processes) child.kill();
    },
  };
}

async function loop(child: ChildProcess): Promise<Took> {
  child.send('loop');
  const [took] = (await once(child, 'message')) as [Took];
  return took;
}

function countWords(texts: readonly string[]): number {
  const counts = new Map<string, { n: number }>();
  for (const text of texts) {
    for (const word of text.split(' ')) {
      if (word.length <= 4) continue;
      const count = counts.get(word);
      if (count === undefined) counts.set(word, { n: 1 });
      else count.n += 1;
    }
  }
  return counts.size;
}

if (process.argv[1] === self) {
  const texts = Array.from({ length: lines }, (_, i) => lineOf(i));
  for (let i = 0; i < 6; i++) countWords(texts);
  process.on('message', () => {
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    countWords(texts);
    const wallMs = performance.now() - startedMs;
    const { user, system } = process.cpuUsage(cpu);
    process.send?.({ wallMs, cpuMs: (user + system) / 1000 } satisfies Took);
  });
  process.send?.('ready');
}
