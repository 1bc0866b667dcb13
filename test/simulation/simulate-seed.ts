import { type SimulationReport, simulate } from '../../src/testing/simulation/simulate.ts';
import { ArrayModel } from './array-model.ts';
import { drawProgram, type Reading } from './drawn-program.ts';
import { buildProgram } from './engine-program.ts';

export interface SeedReport extends SimulationReport {
  /** States that were given up with `dropState`. */
  readonly drops: number;
}

/** One seed: a drawn program in a drawn world against the array model. @throws SIMULATION_FAILED */
export async function simulateSeed(seed: number, trace?: (line: string) => void): Promise<SeedReport> {
  const shape = drawProgram(seed);
  // A model that goes over the same batches again adds nothing.
  const drops = new Set<string>();
  const report = await simulate<Reading>({
    seed,
    program: (driver) => buildProgram(shape, driver),
    source: {
      row: (random) => ({
        key: shape.keys[Math.floor(random.next() * shape.keys.length)]!,
        value: Math.floor(random.next() * 100),
      }),
      partitions: shape.partitions,
      partitionsPerVersion: shape.partitionsPerVersion,
      rowsPerBatch: shape.rowsPerBatch,
      rowsPerPartitionMax: shape.rowsPerPartitionMax,
    },
    faults: {
      ...(shape.hasSleepers ? { freezeAtPoint: 0.02, lostAnswer: 0.05, crashAtPoint: 0 } : {}),
      readerCrash: shape.readerCrash,
      ...shape.tools,
    },
    batchInterval: shape.batchInterval,
    intervals: shape.intervals,
    versions: shape.versions.length,
    model: () => new ArrayModel(shape, (name, batchId) => drops.add(`${name} ${batchId}`)),
    trace,
  });
  return { ...report, drops: drops.size };
}

/** What a run has been through, by kind: to be added up over seeds. */
export function countsOf(report: SeedReport): Record<string, number> {
  const { batches, rows, starts, fences, crashes, recreatedSlots, steps, drops, tools, written, outbox } = report;
  const { events, crashes: readerCrashes, expired } = outbox;
  return {
    batches,
    rows,
    starts,
    fences,
    crashes,
    recreatedSlots,
    steps,
    drops,
    ...tools,
    ...written,
    events,
    readerCrashes,
    expired,
  };
}
