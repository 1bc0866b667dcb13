import type { Random } from '../../base/random.ts';

/**
 * How long object storage takes to answer, in milliseconds: the figures turbopuffer publishes for S3
 * (https://turbopuffer.com/docs/architecture, "S3 GET LATENCY", "S3 PUT LATENCY"). `p0` is ours: nothing is faster.
 * A HEAD, a page of a listing and a delete are taken to cost what a GET costs.
 */
export const storeLatencyMs = {
  read: { p0: 20, p50: 63, p99: 78, p999: 118 },
  write: { p0: 50, p50: 100, p99: 195, p999: 274 },
} as const;

export type RequestKind = keyof typeof storeLatencyMs;

/** A draw from the published distribution; between its points it is a straight line, above p99.9 a tail up to twice that. */
export function drawLatencyMs(kind: RequestKind, random: Random): number {
  const { p0, p50, p99, p999 } = storeLatencyMs[kind];
  const at = random.next();
  if (at < 0.5) return between(p0, p50, at / 0.5);
  if (at < 0.99) return between(p50, p99, (at - 0.5) / 0.49);
  if (at < 0.999) return between(p99, p999, (at - 0.99) / 0.009);
  return between(p999, 2 * p999, (at - 0.999) / 0.001);
}

function between(low: number, high: number, share: number): number {
  return low + (high - low) * share;
}
