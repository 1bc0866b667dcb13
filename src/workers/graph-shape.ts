import type { DStreamGraph } from '../dstream/graph.ts';
import { diverged } from './exchange.ts';

/**
 * A program as lines of text, one for each thing that must be the same on all threads. Functions are not looked at: they
 * come from the same module.
 */
export function shapeOf(graph: DStreamGraph): readonly string[] {
  return [
    `batch interval ${graph.batchIntervalMs} ms, parallelism ${graph.defaultParallelism}`,
    ...graph.streams.map(({ id, operator, parents, slideMs, isPersisted }) => {
      const from = parents.map((parent) => `#${parent.id}`).join(', ');
      return `#${id} ${operator}${from && ` of ${from}`}, every ${slideMs} ms${isPersisted ? ', persisted' : ''}`;
    }),
    ...graph.sources.map(({ id, uid, source: { kind, identity } }) => {
      return `source '${uid}' #${id}: ${kind} ${JSON.stringify(Object.entries(identity).sort())}`;
    }),
    ...graph.outputs.map(({ uid, kind, stream }) => `output '${uid}': ${kind} of #${stream.id}`),
  ];
}

/** @throws WORKERS_DIVERGED with what is only there or only here */
export function requireSameShape(driver: readonly string[], worker: readonly string[], index: number): void {
  const here = driver.filter((line) => !worker.includes(line));
  const there = worker.filter((line) => !driver.includes(line));
  if (here.length === 0 && there.length === 0 && driver.length === worker.length) return;
  throw diverged('the driver', indent(here), `worker ${index}`, indent(there));
}

// So many lines show what is wrong.
const linesMax = 10;

function indent(lines: readonly string[]): string {
  if (lines.length === 0) return '  nothing of its own';
  const more = lines.length > linesMax ? [`  and ${lines.length - linesMax} more`] : [];
  return [...lines.slice(0, linesMax).map((line) => `  ${line}`), ...more].join('\n');
}
