import { SeededRandom } from '../src/base/random.ts';
import type { Bench } from './bench.ts';
import { threadCpuMs } from './cpu.ts';
import { partitions, runOthers, start } from './manual-program.ts';
import { median } from './median.ts';
import { compared } from './result.ts';

const lines = 100_000;
const wordsPerLine = 10;
const vocabulary = 20_000;
const repeats = 15;

function makeLines(): string[] {
  const random = new SeededRandom(11);
  const words = Array.from({ length: vocabulary }, (_, i) => `word${i.toString(36)}`);
  return Array.from({ length: lines }, () =>
    Array.from({ length: wordsPerLine }, () => words[Math.floor(random.next() ** 2 * vocabulary)]!).join(' '),
  );
}

const split = (line: string): string[] => line.split(' ');
const isLong = (word: string): boolean => word.length > 4;
const toPair = (word: string): readonly [string, number] => [word, 1];
const sum = (a: number, b: number): number => a + b;

/** What one would write by hand for this one job, with the same functions. */
function byHand(input: readonly string[]): [string, number][] {
  const parts: Map<string, number>[] = [];
  for (let p = 0; p < partitions; p++) {
    const counts = new Map<string, number>();
    const end = ((p + 1) * input.length) / partitions;
    for (let i = (p * input.length) / partitions; i < end; i++) {
      const words = split(input[i]!);
      for (let w = 0; w < words.length; w++) {
        const word = words[w]!;
        if (!isLong(word)) continue;
        const [key, value] = toPair(word);
        const count = counts.get(key);
        counts.set(key, count === undefined ? value : sum(count, value));
      }
    }
    parts.push(counts);
  }
  const merged = new Map<string, number>();
  for (const counts of parts) {
    for (const [key, value] of counts) {
      const count = merged.get(key);
      merged.set(key, count === undefined ? value : sum(count, value));
    }
  }
  return [...merged];
}

export const bench: Bench = {
  title: 'Word count in memory, beside a loop written by hand',
  measures:
    `${(lines * wordsPerLine).toLocaleString('en-US')} words per batch in ${partitions} partitions, ${vocabulary.toLocaleString('en-US')} different ones: split, filter, map, reduceByKey, ` +
    'collect. The loop calls the same functions. Eight other programs have run in the process before. CPU time of the thread; the two ' +
    `in turn, median of ${repeats}, garbage collected before each.`,
  run: async ({ rounds }) => {
    await runOthers();
    const input = makeLines();
    const runBatch = await start(input, (stream) => stream.flatMap(split).filter(isLong).map(toPair).reduceByKey(sum));
    const engine: number[] = [];
    const hand: number[] = [];
    for (let round = -4; round < rounds(repeats); round++) {
      globalThis.gc?.();
      let before = threadCpuMs();
      const counted = await runBatch();
      const engineMs = threadCpuMs() - before;
      globalThis.gc?.();
      before = threadCpuMs();
      const expected = byHand(input);
      const handMs = threadCpuMs() - before;
      const counts = new Map(expected);
      if (counted.length !== counts.size || counted.some(([word, count]) => counts.get(word) !== count)) {
        throw new Error('The two do not agree.');
      }
      if (round < 0) continue;
      engine.push(engineMs);
      hand.push(handMs);
    }
    const words = (lines * wordsPerLine) / 1000;
    const share = median(engine.map((ms, i) => hand[i]! / ms));
    const table = {
      title: 'words per millisecond of CPU',
      rows: [
        {
          program: 'Tidemark',
          'words/ms': Math.round((words * 1000) / median(engine)),
          'best words/ms': Math.round((words * 1000) / Math.min(...engine)),
          '% of the loop': Math.round(share * 100),
        },
        {
          program: 'loop by hand',
          'words/ms': Math.round((words * 1000) / median(hand)),
          'best words/ms': Math.round((words * 1000) / Math.min(...hand)),
          '% of the loop': 100,
        },
      ],
    };
    const perSecond = (ms: number): number => (words * 1e6) / ms;
    const result = compared({
      what: 'word count in memory, after eight other programs',
      against: 'a loop written by hand with the same functions',
      unit: 'words per CPU second',
      ours: engine.map(perSecond),
      peer: hand.map(perSecond),
      better: 'more',
      atLeast: 0.85,
    });
    return { tables: [table], rows: [result] };
  },
};
