import { randomInt } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { toError } from '../../src/base/errors.ts';
import type { SimulationReport } from '../../src/testing/simulation/simulate.ts';
import { simulateSeed } from './simulate-seed.ts';

const { SIMULATION_SECONDS } = process.env;
const freshSeconds = Number(SIMULATION_SECONDS ?? 40);

async function run(seed: number): Promise<SimulationReport> {
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
    const totals = { batches: 0, crashes: 0, fences: 0, recreatedSlots: 0 };
    for (let seed = 1; seed <= 200; seed++) {
      const report = await run(seed);
      for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += report[name];
    }
    // A simulator that has become tame would hold, too.
    expect(totals.batches).toBeGreaterThan(1000);
    expect(totals.crashes).toBeGreaterThan(200);
    expect(totals.fences).toBeGreaterThan(400);
    expect(totals.recreatedSlots).toBeGreaterThan(0);
  }, 120_000);

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
