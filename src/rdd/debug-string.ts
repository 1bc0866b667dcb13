import type { RDD } from './rdd.ts';
import { ShuffleDependency } from './shuffle-dependency.ts';

/** The lineage of an RDD as a tree, one line per RDD with its number of partitions; a shuffle is drawn as `+-`. */
export function debugString(rdd: RDD<unknown>, indent = ''): string {
  const marks = `${rdd.isPersisted ? ' [persisted]' : ''}${rdd.isCheckpointed ? ' [checkpointed]' : ''}`;
  const lines = [`${indent}(${rdd.numPartitions}) ${rdd.name}${marks}`];
  for (const dependency of rdd.dependencies) {
    if (dependency instanceof ShuffleDependency)
      lines.push(debugString(dependency.rdd, `${indent.replace(/\S/g, ' ')} +-`));
    else lines.push(debugString(dependency, `${indent.replace(/\S/g, ' ')} | `));
  }
  return lines.join('\n');
}
