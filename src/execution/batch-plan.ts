import type { PlannedBatch } from '../checkpoint/records.ts';
import type { SourcePlan } from '../sources/source.ts';
import type { Driver } from './driver.ts';

export interface BatchPlan {
  readonly planned: PlannedBatch;
  readonly sources: ReadonlyMap<string, SourcePlan>;
  /** True when it is durable already. */
  readonly recorded: boolean;
}

/** The recorded plan if there is one, else what has arrived by now. A source the recorded plan does not know is planned afresh. */
export async function planBatch(driver: Driver, batchId: number, batchTimeMs: number): Promise<BatchPlan> {
  const recorded = driver.recordedPlan;
  const sources = new Map<string, SourcePlan>();
  let complete = recorded !== undefined;
  for (const { uid, source } of driver.graph.sources) {
    const known = recorded?.sources[uid] as SourcePlan | undefined;
    if (known === undefined) complete = false;
    sources.set(uid, known ?? (await source.plan()));
  }
  return { planned: { batchId, batchTimeMs, sources: Object.fromEntries(sources) }, sources, recorded: complete };
}

/**
 * The plan of the next batch, when it may ride in this batch's record: an output acts during the batch (else no plan
 * need be durable), and either its time has come already, so that it is no staler for it, or the user wants it so.
 */
export async function planAhead(driver: Driver, batchId: number, timeMs: number): Promise<BatchPlan | undefined> {
  const { graph, log, ports, settings } = driver;
  if (log === undefined || !graph.actsDuringBatch) return undefined;
  const nextTimeMs = timeMs + graph.batchIntervalMs;
  if (!settings.planAhead && ports.clock.now() < nextTimeMs) return undefined;
  driver.recordedPlan = undefined;
  return planBatch(driver, batchId + 1, nextTimeMs);
}
