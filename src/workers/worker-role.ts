import type { LoopBlockedInfo } from '../base/loop-blocked.ts';
import type { Random } from '../base/random.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import type { RddContext } from '../rdd/rdd-context.ts';
import type { StageRunnerOptions } from '../rdd/stage-runner.ts';
import type { JobRunner } from '../rdd/task.ts';

/** A program that a worker thread has built, to be run as the driver says. */
export interface BuiltProgram {
  readonly graph: DStreamGraph;
  readonly rdds: RddContext;
  readonly runner: JobRunner;
}

/** What a context in a worker thread does otherwise than one on the driver's. */
export interface WorkerRole {
  /** The same numbers on all workers. */
  readonly random: Random;
  /** A warning of this thread: the driver's shows it. */
  readonly warn: (text: string) => void;
  /** A function of the program held up this thread: the driver tells of it. */
  readonly loopBlocked: (info: LoopBlockedInfo) => void;
  /** For the RDDs of one context: in this thread until its program is handed over, then together with the other workers. */
  createRunner(options: Omit<StageRunnerOptions, 'signal'>): JobRunner;
  /** Instead of a start. Resolves never: what the program does after a start is done on the driver's thread. */
  handOver(program: BuiltProgram): Promise<never>;
}

let role: WorkerRole | undefined;

/** Undefined on the driver's thread, and in threads that are not of our making. */
export function workerRole(): WorkerRole | undefined {
  return role;
}

/** For the entry of a worker thread, before it loads the program. */
export function becomeWorker(own: WorkerRole): void {
  role = own;
}
