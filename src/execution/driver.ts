import type { Clock } from '../base/clock.ts';
import type { CrashHook } from '../base/crash-points.ts';
import type { CheckpointLog } from '../checkpoint/checkpoint-log.ts';
import type { PlannedBatch, Receipt } from '../checkpoint/records.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import type { StatefulNode } from '../dstream/stateful-node.ts';
import type { ListenerBus } from '../observe/listener-bus.ts';
import type { RddContext } from '../rdd/rdd-context.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { WorkerGroup } from '../workers/worker-group.ts';
import type { RateController } from './backpressure/rate-controller.ts';
import type { CheckpointMeter } from './checkpoint-meter.ts';

/** Settings of the engine a user may change between starts. */
export interface EngineSettings {
  /**
   * Lets the plan of the next batch ride in the record of this one whenever an output acts during the batch: one write
   * per batch instead of two, and results staler by up to an interval. Default false.
   */
  readonly planAhead: boolean;
  /**
   * How many batches may be in the works at once: one is computed while the others are on their way into the log. 1: one
   * after the other.
   */
  readonly pipelineBatchesMax: number;
  /** Beyond so many bytes of changes on their way into the log, the next batch waits. */
  readonly pipelineBytesMax: number;
  /** How many batch times missed while no driver ran are run at a restart; older ones are passed over. */
  readonly catchUpBatchesMax: number;
}

/** What the parts of the engine take from outside (decision A8). */
export interface EnginePorts {
  readonly clock: Clock;
  readonly crash: CrashHook;
  /** Where `print()` goes. */
  readonly print: (text: string) => void;
  /** Where warnings go: what the engine goes on from, and a person should know. */
  readonly warn: (text: string) => void;
  /** Where the report of a start goes. */
  readonly report: (text: string) => void;
}

/**
 * A driver that holds the stream: everything a batch needs. Only the batch loop changes it, one batch at a time.
 * Without a checkpoint URL there is no log, and nothing survives the process.
 */
export interface Driver {
  readonly graph: DStreamGraph;
  readonly settings: EngineSettings;
  readonly ports: EnginePorts;
  readonly rdds: RddContext;
  readonly listeners: ListenerBus;
  /** Undefined: all is computed in this thread. */
  readonly workers: WorkerGroup | undefined;
  /** Undefined: back-pressure is off. */
  readonly rates: RateController | undefined;
  readonly log: CheckpointLog | undefined;
  /** Of the log. */
  readonly meter: CheckpointMeter | undefined;
  /** Of the checkpoint; without one, fresh for every start. */
  readonly streamId: string;
  /** Higher for every newer driver of the stream; without a checkpoint 1. */
  readonly epoch: number;
  /** The checkpoint store, for counting its operations. */
  readonly store: ObjectStore | undefined;
  readonly zeroTimeMs: number;
  readonly generation: number;
  /** Stateful nodes that outputs depend on, in order of definition. */
  readonly stateful: readonly StatefulNode<unknown>[];
  /** Batch times before it are passed over, but for the one of a recorded plan: see `catchUpBatchesMax`. */
  readonly passedOverUntilMs: number;
  lastBatch: { readonly batchId: number; readonly batchTimeMs: number };
  /** Settles when the batch handed to the log last is durable, or can't be. */
  committing: Promise<unknown>;
  /** Recorded for the next batch already; replay must use exactly these ranges. */
  recordedPlan: PlannedBatch | undefined;
  /** The batch whose ranges an earlier driver had recorded, if there is one. */
  readonly replayedBatchId: number | undefined;
  /** Published, and in no batch that was handed to the log. */
  receipts: Receipt[];
  /** Requests the store had been sent when a batch was told of last. */
  operationsTold: number;
}
