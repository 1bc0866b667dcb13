import type { ForeachBody } from '../../dstream/output.ts';
import type { StreamingContextOptions } from '../../execution/context-options.ts';
import type { RDD } from '../../rdd/rdd.ts';
import { outboxSink } from '../../sinks/outbox-sink.ts';
import type { IdempotentSink, OutboxSink, StagedSink, TransactionalSink } from '../../sinks/sink.ts';
import type { Source } from '../../sources/source.ts';
import type { SimulatedProcess } from './process.ts';
import { SimulatedSink } from './simulated-sink.ts';
import { SimulatedSource } from './simulated-source.ts';
import { SimulatedTransactions } from './simulated-transactions.ts';
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
  /** A sink of class `idempotent`. What it has to write, the model returns. */
  writer<R>(output: string): IdempotentSink<R>;
  /** A sink of class `transactional`. What it has to write, the model returns. */
  ledger<R>(output: string): TransactionalSink<R>;
  /** An outbox; a reader in another process, which crashes now and then, follows it. What it has to read, the model returns. */
  outbox<R>(output: string): OutboxSink<R>;
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
      appName: 'simulated',
      batchInterval,
      environment: {
        clock: process,
        random: process.random,
        allowSeveral: true,
        print: () => {},
        warn: (text) => {
          world.note(() => `driver ${process.id} warns: ${text}`);
          if (text.includes('asked through its checkpoint')) {
            simulation.history.drainsAccepted.set(process.id, world.nowMs);
          }
        },
        crashHook: simulation.crashHookOf(process),
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

  ledger<R>(output: string): TransactionalSink<R> {
    return new SimulatedTransactions<T, R>(this, output);
  }

  outbox<R>(output: string): OutboxSink<R> {
    const { simulation } = this;
    return { ...outboxSink<R>(), open: async ({ uid }) => simulation.followOutbox(output, uid) };
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

  network<R = void>(act?: () => R): Promise<R> {
    return this.simulation.network(this.process, act);
  }

  /** As `network`, at a database that fails now and then: before it has done what it was asked for, or after. */
  remote<R>(act: () => R): Promise<R> {
    const { world } = this.process;
    const fails = world.chance(this.simulation.faults().failedWrite);
    const isDone = world.chance(0.5);
    return this.network(() => {
      if (!fails) return act();
      if (isDone) act();
      throw new Error('Simulated: the database does not answer.');
    });
  }
}
