import type { PlannedBatch } from '../checkpoint/records.ts';
import type { SourcePlan } from '../sources/source.ts';
import { batchTimeAfter } from './batch-times.ts';
import type { Driver } from './driver.ts';

export interface BatchPlan {
  readonly planned: PlannedBatch;
  readonly sources: ReadonlyMap<string, SourcePlan>;
  /** By source uid: where the batch after this one starts. */
  readonly positions: Readonly<Record<string, unknown>>;
  /** True when it is durable already. */
  readonly recorded: boolean;
}

/**
 * The recorded plan if there is one, else what has arrived by now. A source that the program has gained since the plan was
 * recorded sits this batch out: its effects may have been seen already, and must be the same again.
 */
export async function planBatch(driver: Driver, batchId: number, batchTimeMs: number): Promise<BatchPlan> {
  const recorded = driver.recordedPlan;
  const sources = new Map<string, SourcePlan>();
  const positions: Record<string, unknown> = {};
  for (const { uid, source } of driver.graph.sources) {
    const plan =
      recorded === undefined ? await source.plan(batchTimeMs) : (recorded.sources[uid] as SourcePlan | undefined);
    if (plan !== undefined) sources.set(uid, plan);
    positions[uid] = plan === undefined ? source.position() : plan.position;
  }
  const planned = recorded ?? { batchId, batchTimeMs, sources: Object.fromEntries(sources) };
  return { planned, sources, positions, recorded: recorded !== undefined };
}

/**
 * The plan of the next batch, when it may ride in this batch's record: an output acts during the batch (else no plan
 * need be durable), and either its time has come already, so that it is no staler for it, or the user wants it so.
 */
export async function planAhead(driver: Driver, batchId: number, timeMs: number): Promise<BatchPlan | undefined> {
  const { graph, log, ports, settings } = driver;
  if (log === undefined || !graph.actsDuringBatch) return undefined;
  const nextTimeMs = batchTimeAfter(driver, timeMs);
  if (!settings.planAhead && ports.clock.now() < nextTimeMs) return undefined;
  driver.recordedPlan = undefined;
  return planBatch(driver, batchId + 1, nextTimeMs);
}
