import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ShareClaim, shareBatch } from '../../../src/sources/event-hubs/batch-shares.ts';

const even = (...available: number[]): ShareClaim[] => available.map((n) => ({ available: n, backlog: n }));
const claim = fc
  .tuple(fc.nat(5_000), fc.nat(1_000_000))
  .map(([available, more]) => ({ available, backlog: available + more }));

describe('the shares of a batch', () => {
  it('are everything when the limit allows it', () => {
    expect(shareBatch(even(3, 0, 5), 8, 0)).toEqual([3, 0, 5]);
  });

  it('follow the backlog', () => {
    expect(shareBatch(even(800, 200), 100, 0)).toEqual([80, 20]);
  });

  it('leave no partition without a share, however small its backlog', () => {
    expect(shareBatch(even(1_000_000, 3, 1), 10, 0)).toEqual([8, 1, 1]);
  });

  it('pass what a partition cannot use to the others', () => {
    const claims = [
      { available: 10, backlog: 1_000_000 },
      { available: 500, backlog: 500 },
    ];
    expect(shareBatch(claims, 200, 0)).toEqual([10, 190]);
  });

  it('go round in turns when the limit is below the number of partitions', () => {
    const claims = even(100, 100, 100, 100, 100);
    const given = [0, 0, 0, 0, 0];
    for (let turn = 0; turn < 10; turn++) {
      shareBatch(claims, 2, turn).forEach((share, i) => {
        given[i]! += share;
      });
    }
    expect(given).toEqual([4, 4, 4, 4, 4]);
  });

  it('add up to the limit or to all there is, and never exceed a claim', () => {
    fc.assert(
      fc.property(
        fc.array(claim, { maxLength: 40 }),
        fc.integer({ min: 1, max: 50_000 }),
        fc.nat(1000),
        (claims, limit, turn) => {
          const shares = shareBatch(claims, limit, turn);
          const total = claims.reduce((sum, { available }) => sum + available, 0);
          expect(shares.reduce((sum, share) => sum + share, 0)).toBe(Math.min(limit, total));
          const waiting = claims.filter(({ available }) => available > 0).length;
          shares.forEach((share, i) => {
            expect(share).toBeLessThanOrEqual(claims[i]!.available);
            if (limit >= waiting && claims[i]!.available > 0) expect(share).toBeGreaterThan(0);
          });
        },
      ),
    );
  });
});
