import { toError } from '../base/errors.ts';
import type { Output } from '../dstream/output.ts';
import type {
  BatchInfo,
  OutputOperationInfo,
  StartedBatchInfo,
  StreamInputInfo,
} from '../observe/streaming-listener.ts';
import type { BatchPlan } from './batch-plan.ts';
import type { Driver } from './driver.ts';

/**
 * What one batch tells the listeners: submitted and started when its plan is known, its outputs one by one, and how it
 * ended. A batch that fails before its plan is known is not told of. Listeners hear of it later: none can hold it up.
 */
export class BatchReport {
  readonly #driver: Driver;
  readonly #batchTimeMs: number;
  readonly #submissionTimeMs: number;
  readonly #startMs: number;
  readonly #outputs: Record<number, OutputOperationInfo> = {};
  #started: StartedBatchInfo | undefined;
  #sealedMs: number | undefined;
  committedBytes = 0;

  constructor(driver: Driver, batchTimeMs: number, submissionTimeMs: number) {
    this.#driver = driver;
    this.#batchTimeMs = batchTimeMs;
    this.#submissionTimeMs = submissionTimeMs;
    this.#startMs = driver.ports.clock.now();
  }

  planned(plan: BatchPlan): void {
    const { graph, listeners, replayedBatchId } = this.#driver;
    const inputs: Record<number, StreamInputInfo> = {};
    let records = 0;
    let backlog = 0;
    for (const [inputStreamId, { uid, source }] of graph.sources.entries()) {
      const sourcePlan = plan.sources.get(uid);
      backlog += source.backlog();
      if (sourcePlan === undefined) continue;
      records += sourcePlan.records;
      const description = source.describePlan?.(sourcePlan);
      const metadata: Record<string, string> = description === undefined ? {} : { Description: description };
      inputs[inputStreamId] = { inputStreamId, uid, records: sourcePlan.records, metadata };
    }
    const submitted = {
      batchId: plan.planned.batchId,
      batchTimeMs: this.#batchTimeMs,
      records,
      streamIdToInputInfo: inputs,
      submissionTimeMs: this.#submissionTimeMs,
      replayed: plan.planned.batchId === replayedBatchId,
      backlog,
    };
    const started = {
      ...submitted,
      processingStartTimeMs: this.#startMs,
      schedulingDelayMs: this.#startMs - this.#submissionTimeMs,
    };
    this.#started = started;
    listeners.post('onBatchSubmitted', submitted);
    listeners.post('onBatchStarted', started);
  }

  outputStarted(output: Output): void {
    const id = this.#driver.graph.outputs.indexOf(output);
    const info: OutputOperationInfo = {
      batchTimeMs: this.#batchTimeMs,
      id,
      name: nameOf(output),
      description: `${output.uid} of ${output.stream.label ?? output.stream.operator}`,
      startTimeMs: this.#driver.ports.clock.now(),
      endTimeMs: undefined,
      failureReason: undefined,
    };
    this.#outputs[id] = info;
    this.#driver.listeners.post('onOutputOperationStarted', info);
  }

  /** `error`: undefined when it went well. */
  outputCompleted(output: Output, error?: unknown): void {
    const id = this.#driver.graph.outputs.indexOf(output);
    const started = this.#outputs[id];
    if (started === undefined) return;
    const failureReason = error === undefined ? undefined : toError(error).message;
    const info: OutputOperationInfo = { ...started, endTimeMs: this.#driver.ports.clock.now(), failureReason };
    this.#outputs[id] = info;
    this.#driver.listeners.post('onOutputOperationCompleted', info);
  }

  /** It is computed, its output staged; now it goes into the log. */
  sealed(): void {
    this.#sealedMs = this.#driver.ports.clock.now();
  }

  /** `endMs`: when its last output was published; tidying up after that is not counted as processing. */
  completed(endMs: number): void {
    const info = this.#end(undefined, endMs);
    if (info !== undefined) this.#driver.rates?.batchCompleted(info);
  }

  failed(error: unknown): void {
    this.#end(toError(error).message, this.#driver.ports.clock.now());
  }

  #end(failureReason: string | undefined, endMs: number): BatchInfo | undefined {
    const started = this.#started;
    if (started === undefined) return undefined;
    this.#started = undefined;
    const { store, listeners } = this.#driver;
    const operations = store?.operations.total() ?? 0;
    const computingDelayMs = (this.#sealedMs ?? endMs) - started.processingStartTimeMs;
    const info: BatchInfo = {
      ...started,
      processingEndTimeMs: endMs,
      processingDelayMs: endMs - started.processingStartTimeMs,
      computingDelayMs,
      totalDelayMs: endMs - started.submissionTimeMs,
      outputOperationInfos: this.#outputs,
      failureReason,
      checkpoint: {
        bytes: this.committedBytes,
        operations: operations - this.#driver.operationsTold,
      },
    };
    this.#driver.operationsTold = operations;
    listeners.post('onBatchCompleted', info);
    return info;
  }
}

function nameOf(output: Output): string {
  switch (output.kind) {
    case 'foreach':
      return 'foreachRDD';
    case 'print':
      return 'print';
    case 'sink':
      return 'saveTo';
  }
}
