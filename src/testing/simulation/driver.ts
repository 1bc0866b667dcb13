import type { ForeachBody } from '../../dstream/output.ts';
import type { StreamingContextOptions } from '../../execution/context-options.ts';
import type { RDD } from '../../rdd/rdd.ts';
import type { IdempotentSink, StagedSink } from '../../sinks/sink.ts';
import type { Source } from '../../sources/source.ts';
import { markOf } from './marks.ts';
import type { SimulatedProcess } from './process.ts';
import { SimulatedSink } from './simulated-sink.ts';
import { SimulatedSource } from './simulated-source.ts';
import { SimulatedWriter } from './simulated-writer.ts';
import type { Simulation } from './simulation.ts';
import type { SimulatedRow } from './topic.ts';

/** What a program is given to be built for one driver of a simulation: see `SimulationOptions.program`. */
export interface SimulatedProgram<T> {
  /** Of the program, from 0: rises with every deployment. */
  readonly version: number;
  /** For `new StreamingContext({ ...driver.contextOptions, ... })`. The application's name is the simulator's. */
  readonly contextOptions: Pick<StreamingContextOptions, 'appName' | 'batchInterval' | 'environment'>;
  /** The input of the simulation. Use it once, with a uid. */
  source(): Source<SimulatedRow<T>>;
  /** A staged sink, exactly once. The name of an output must not be used twice. */
  sink<R>(output: string): StagedSink<R>;
  /** A sink of class `idempotent`. Its rows are not part of the committed batch, but of `verifyWritten`. */
  writer<R>(output: string): IdempotentSink<R>;
  /** `f`, but for now and then, when it throws: as a function does that asks a service. */
  flaky<A extends readonly unknown[], R>(f: (...args: A) => R): (...args: A) => R;
  /** The body of a `foreachRDD`: an output that acts during the batch, at least once. */
  act<R>(output: string): ForeachBody<R>;
}

/** One driver of a simulation, from its start to its end or death. */
export class SimulatedDriver<T> implements SimulatedProgram<T> {
  readonly process: SimulatedProcess;
  readonly simulation: Simulation<T>;
  readonly version: number;
  readonly contextOptions: Pick<StreamingContextOptions, 'appName' | 'batchInterval' | 'environment'>;
  /** By batch time: what it planned or adopted. */
  readonly plans = new Map<number, number>();

  constructor(process: SimulatedProcess, simulation: Simulation<T>, version: number) {
    this.process = process;
    this.simulation = simulation;
    this.version = version;
    const { world } = process;
    const { batchInterval } = simulation.options;
    this.contextOptions = {
      appName: markOf('driver', process.id),
      batchInterval,
      environment: {
        clock: process,
        random: process.random,
        allowSeveral: true,
        print: () => {},
        warn: (text) => world.note(() => `driver ${process.id} warns: ${text}`),
        crashHook: (point) => {
          if (!process.isAlive) return process.forever();
          const { crashAtPoint, freezeAtPoint } = simulation.faults();
          if (world.chance(freezeAtPoint)) {
            simulation.freeze(process);
            return process.request(0, () => {});
          }
          if (!world.chance(crashAtPoint)) return undefined;
          world.note(() => `driver ${process.id} dies at ${point}`);
          simulation.killed(process);
          return process.forever();
        },
      },
    };
  }

  source(): Source<SimulatedRow<T>> {
    return new SimulatedSource<T>(this);
  }

  sink<R>(output: string): StagedSink<R> {
    return new SimulatedSink<T, R>(this, output);
  }

  writer<R>(output: string): IdempotentSink<R> {
    return new SimulatedWriter<T, R>(this, output);
  }

  flaky<A extends readonly unknown[], R>(f: (...args: A) => R): (...args: A) => R {
    const { world } = this.process;
    return (...args) => {
      if (world.chance(this.simulation.faults().failedCall))
        throw new Error('Simulated: a function of the program failed.');
      return f(...args);
    };
  }

  act<R>(output: string): ForeachBody<R> {
    return async (rdd: RDD<R>, time, { batchId }) => {
      const rows = await rdd.collectPartitions();
      const plan = this.plans.get(time.milliseconds);
      await this.network(() => this.simulation.history.outputs.acted(output, batchId, this.version, plan, rows));
    };
  }

  /** Something at another place, such as the hub or a database. Some simulations have it next door, and lose no time. */
  network<R = void>(act?: () => R): Promise<R> {
    const { process, simulation } = this;
    if (!process.isAlive) return process.forever();
    if (simulation.options.isNear)
      return Promise.resolve().then(() => (process.isAlive ? act?.() : process.forever()) as R);
    return process.request(process.world.between(1, 60), () => act?.() as R);
  }
}
