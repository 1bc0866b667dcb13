import { type SimulationReport, simulate } from '../../src/testing/simulation/simulate.ts';
import { ArrayModel } from './array-model.ts';
import { drawProgram, type Reading } from './drawn-program.ts';
import { buildProgram } from './engine-program.ts';

/** One seed: a drawn program in a drawn world against the array model. @throws SIMULATION_FAILED */
export function simulateSeed(seed: number, trace?: (line: string) => void): Promise<SimulationReport> {
  const shape = drawProgram(seed);
  const model = new ArrayModel(shape);
  return simulate<Reading>({
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
    faults: shape.hasSleepers ? { freezeAtPoint: 0.02, lostAnswer: 0.05, crashAtPoint: 0 } : undefined,
    batchInterval: shape.batchInterval,
    intervals: shape.intervals,
    versions: shape.versions.length,
    verify: (batch) => model.verify(batch),
    verifyWritten: (written) => model.verifyWritten(written),
    onFence: (fence) => model.fence(fence),
    trace,
  });
}
