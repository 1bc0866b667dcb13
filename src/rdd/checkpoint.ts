import { TidemarkError } from '../base/errors.ts';
import { readRows, rowEncoder } from './object-file.ts';
import { partName, readParts, SharedStore, writeParts } from './part-files.ts';
import type { RDD } from './rdd.ts';
import { ShuffleDependency } from './shuffle-dependency.ts';
import { type JobRunner, rowsOf } from './task.ts';

/** An RDD that is to be cut off from its lineage after the next job that needs it. */
export interface RddCheckpoint {
  /** Where the rows go; undefined for a checkpoint in memory. */
  readonly url: string | undefined;
  /** Computes and keeps the rows, then cuts. Called again when it failed; calls that overlap share one run. */
  complete(runner: JobRunner): Promise<void>;
}

/** @throws OPTION_INVALID when the rows go to a store and the context has no checkpoint directory */
export function markForCheckpoint<T>(rdd: RDD<T>, where: 'store' | 'memory'): RddCheckpoint {
  const { context } = rdd;
  const directory = context.checkpointDir;
  if (where === 'memory') {
    context.notePendingCheckpoint(1);
    return { url: undefined, complete: once((runner) => keepInMemory(rdd, runner)) };
  }
  if (directory === undefined) {
    throw new TidemarkError(
      'OPTION_INVALID',
      'checkpoint: the checkpoint directory has not been set. Call setCheckpointDir(url) on the context first, or use ' +
        'localCheckpoint() to keep the rows in memory.',
    );
  }
  context.notePendingCheckpoint(1);
  const { url, options } = directory.place();
  const store = new SharedStore(url, { random: context.random, ...options });
  let tries = 0;
  let prefix = '';
  return {
    get url() {
      return `${directory.url}/${prefix.slice(0, -1)}`;
    },
    complete: once((runner) => {
      // A folder of its own for every try: what a failed one could not remove is in nobody's way.
      prefix = `${directory.folder}/rdd-${rdd.id}${tries++ > 0 ? `-${tries}` : ''}/`;
      return writeToStore(rdd, runner, store, prefix);
    }),
  };
}

async function keepInMemory<T>(rdd: RDD<T>, runner: JobRunner): Promise<void> {
  const rows = await runner.run(rdd, (partition, task) => rowsOf(rdd, partition, task));
  rdd.context.notePendingCheckpoint(-1);
  rdd.cutLineage((partition, _, push) => {
    const kept = rows[partition]!;
    for (let i = 0; i < kept.length; i++) push(kept[i]!);
  });
}

async function writeToStore<T>(rdd: RDD<T>, runner: JobRunner, shared: SharedStore, prefix: string): Promise<void> {
  await shared.use((store) => writeParts<T>(rdd, { store, prefix }, rowEncoder, runner));
  rdd.context.notePendingCheckpoint(-1);
  const names = Array.from({ length: rdd.numPartitions }, (_, i) => prefix + partName(i));
  rdd.cutLineage(readParts<T>(shared, names, readRows));
}

function once(work: (runner: JobRunner) => Promise<void>): (runner: JobRunner) => Promise<void> {
  let running: Promise<void> | undefined;
  return (runner) =>
    (running ??= work(runner).finally(() => {
      running = undefined;
    }));
}

/**
 * A runner that does the checkpoints of a lineage after each job on it. An error there is the error of the job, as in
 * Spark; the mark stays, and the next job tries again.
 */
export function completingCheckpoints(runner: JobRunner, hasPending: () => boolean): JobRunner {
  return {
    ...(runner.nameShuffle === undefined ? {} : { nameShuffle: runner.nameShuffle.bind(runner) }),
    ...(runner.pipeOther === undefined ? {} : { pipeOther: runner.pipeOther.bind(runner) }),
    run: async (rdd, task, partitions) => {
      const results = await runner.run(rdd, task, partitions);
      if (hasPending()) for (const marked of markedIn(rdd)) await marked.complete(runner);
      return results;
    },
  };
}

/** Nothing behind a marked RDD: its lineage is about to be cut. */
function markedIn(rdd: RDD<unknown>): Set<RddCheckpoint> {
  const marked = new Set<RddCheckpoint>();
  const seen = new Set<RDD<unknown>>();
  const pending: RDD<unknown>[] = [rdd];
  for (let current = pending.pop(); current !== undefined; current = pending.pop()) {
    if (seen.has(current)) continue;
    seen.add(current);
    if (current.pendingCheckpoint !== undefined) {
      marked.add(current.pendingCheckpoint);
      continue;
    }
    for (const dependency of current.dependencies) {
      pending.push(dependency instanceof ShuffleDependency ? dependency.rdd : dependency);
    }
  }
  return marked;
}
