import type { RDD } from '../rdd/rdd.ts';
import { ShuffleDependency } from '../rdd/shuffle-dependency.ts';

/** True when its partitions can be computed at home only: what it reads, not through a shuffle, is there alone. */
export function isBound(rdd: RDD<unknown>): boolean {
  const seen = new Set<RDD<unknown>>();
  const visit = (current: RDD<unknown>): boolean => {
    if (seen.has(current)) return false;
    seen.add(current);
    if (current.isAtHome) return true;
    return current.dependencies.some((dependency) =>
      dependency instanceof ShuffleDependency ? !dependency.isWhole : visit(dependency),
    );
  };
  return visit(rdd);
}

/** All RDDs that `root` is computed from, in an order that follows from the program alone. */
export function lineageOf(root: RDD<unknown>): readonly RDD<unknown>[] {
  const seen = new Set<RDD<unknown>>();
  const visit = (rdd: RDD<unknown>): void => {
    if (seen.has(rdd)) return;
    seen.add(rdd);
    for (const dependency of rdd.dependencies) {
      visit(dependency instanceof ShuffleDependency ? dependency.rdd : dependency);
    }
  };
  visit(root);
  return [...seen];
}

/** What must be equal on all workers for a job on `rdd` to be the same job. */
export function signatureOf(rdd: RDD<unknown>): string {
  return lineageOf(rdd)
    .map(({ name, numPartitions }) => `${name}(${numPartitions})`)
    .join(' <- ');
}
