/** One partition's claim on a batch. */
export interface ShareClaim {
  /** Events that could go into the batch now. */
  readonly available: number;
  /** Events known to wait at the service or here: the weight. */
  readonly backlog: number;
}

/** Events of a batch at a rate per second: at least one for every partition that has any. No rate, no limit. */
export function batchLimit(claims: readonly ShareClaim[], rate: number | undefined, batchIntervalMs: number): number {
  if (rate === undefined) return Number.POSITIVE_INFINITY;
  const waiting = claims.filter(({ available }) => available > 0).length;
  return Math.max(waiting, Math.floor((rate * batchIntervalMs) / 1000));
}

/**
 * How many events each partition puts into a batch of at most `limit`: in proportion to the backlog, never more than it
 * has, and no partition starves. Every partition with events gets at least one; when the limit is below the number of such
 * partitions, they take turns, `turn` by `turn`.
 *
 * The sum is `limit`, or all that is available if that is less.
 */
export function shareBatch(claims: readonly ShareClaim[], limit: number, turn: number): number[] {
  const shares = claims.map((claim) => claim.available);
  if (shares.reduce((sum, share) => sum + share, 0) <= limit) return shares;

  shares.fill(0);
  let left = limit;
  // From another partition every turn, so that rounding favours none.
  const order = claims.map((_, i) => (i + turn) % claims.length).filter((i) => claims[i]!.available > 0);
  const giveOneEach = (indexes: readonly number[]): void => {
    for (const i of indexes) {
      if (left === 0) return;
      shares[i]!++;
      left--;
    }
  };
  giveOneEach(order);
  while (left > 0) {
    const open = order.filter((i) => shares[i]! < claims[i]!.available);
    const weights = open.map((i) => Math.max(claims[i]!.backlog, claims[i]!.available));
    const weightSum = weights.reduce((sum, weight) => sum + weight, 0);
    const before = left;
    open.forEach((i, k) => {
      const part = Math.floor(before * (weights[k]! / weightSum));
      const given = Math.min(part, left, claims[i]!.available - shares[i]!);
      shares[i]! += given;
      left -= given;
    });
    if (left === before) giveOneEach(open);
  }
  return shares;
}
