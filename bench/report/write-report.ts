import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../scripts/steps.ts';
import type { BenchRun } from '../run.ts';
import { barChart } from './chart.ts';
import { latencyGroups, throughputGroups } from './charted-rows.ts';
import { inOrder, page } from './page.ts';

/** Every file of the report, by its path in the repository, from the figures of one run. */
export function reportFiles(run: BenchRun): Readonly<Record<string, string>> {
  const benches = inOrder(run.benches);
  return {
    'BENCHMARKS.md': page(run),
    'bench/throughput.svg': barChart(
      'Throughput',
      'A longer bar is better. Each pair has a scale of its own.',
      throughputGroups(benches),
    ),
    'bench/latency.svg': barChart(
      'Latency',
      'A shorter bar is better. Each pair has a scale of its own.',
      latencyGroups(benches),
    ),
  };
}

/** Writes the report, and the figures beside it so that it can be made again. Gives the paths. */
export function writeReport(figuresFile: string): string[] {
  const text = readFileSync(figuresFile, 'utf8');
  const files = { ...reportFiles(JSON.parse(text) as BenchRun), 'bench/figures.json': text };
  for (const [path, content] of Object.entries(files)) writeFileSync(join(projectRoot, path), content);
  return Object.keys(files);
}
