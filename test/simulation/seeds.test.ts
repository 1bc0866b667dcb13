import { randomInt } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { toError } from '../../src/base/errors.ts';
import { countsOf, type SeedReport, simulateSeed } from './simulate-seed.ts';

const { SIMULATION_SECONDS } = process.env;
const fixedSeeds = 130;
const freshSeconds = Number(SIMULATION_SECONDS ?? 33);

async function run(seed: number): Promise<SeedReport> {
  try {
    const report = await simulateSeed(seed);
    const { batches, requests } = report.calm;
    const total = Object.values(requests).reduce((sum, count) => sum + count, 0);
    // A start, a stop, and whatever small segments and frequent manifests the seed has drawn.
    if (total > 150 + 20 * batches) throw new Error(`${total} requests for a start and ${batches} batches`);
    return report;
  } catch (error) {
    throw new Error(`${toError(error).message}\nReplay: npm run simulate -- --seed ${seed} --trace`, { cause: error });
  }
}

describe('drawn programs in drawn worlds equal plain arrays', () => {
  test('the fixed seeds, which together pass through everything', async () => {
    const totals: Record<string, number> = {};
    for (let seed = 1; seed <= fixedSeeds; seed++) {
      for (const [kind, count] of Object.entries(countsOf(await run(seed)))) totals[kind] = (totals[kind] ?? 0) + count;
    }
    // A simulator that has become tame would hold, too.
    const least = {
      batches: 1500,
      crashes: 200,
      fences: 400,
      recreatedSlots: 1,
      drops: 10,
      savepoints: 12,
      savepointsRemoved: 1,
      drains: 4,
      rewinds: 20,
      forks: 12,
      writes: 100,
      transactions: 80,
      rewindsTold: 20,
      events: 250,
      readerCrashes: 20,
      expired: 2,
    };
    for (const [kind, count] of Object.entries(least)) expect(totals[kind], kind).toBeGreaterThanOrEqual(count);
  }, 240_000);

  test(
    `fresh seeds for ${freshSeconds} s`,
    async () => {
      const endMs = performance.now() + freshSeconds * 1000;
      let seeds = 0;
      for (; performance.now() < endMs; seeds++) await run(randomInt(2 ** 31));
      expect(seeds).toBeGreaterThan(0);
    },
    (freshSeconds + 60) * 1000,
  );
});
