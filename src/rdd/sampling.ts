import { keyIdentity } from '../base/canonical-key.ts';
import { mix32 } from '../base/checksum.ts';
import { TidemarkError } from '../base/errors.ts';
import { type Random, SeededRandom } from '../base/random.ts';
import type { RDD } from './rdd.ts';
import type { RddContext } from './rdd-context.ts';
import { inTurns, type LoopOwner, pushRows, sortInTurns } from './row-loops.ts';
import { andThen, pipeWhile } from './task.ts';
import { checkInteger } from './validation.ts';

/**
 * Random samples. Every partition draws from its own sequence, which follows from the seed and its number: another try of a
 * task, or another action, draws the same. Without a seed one is taken from the context's random when the RDD is built.
 */
export function sample<T>(rdd: RDD<T>, withReplacement: boolean, fraction: number, seed?: number): RDD<T> {
  checkFraction('sample: fraction', fraction, withReplacement);
  const chosen = chooseSeed(rdd.context, 'sample', seed);
  return rdd.context.rdd<T>({
    name: 'sample',
    numPartitions: rdd.numPartitions,
    partitioner: rdd.partitioner,
    dependencies: [rdd],
    pipe: (partition, task, push) => {
      const random = partitionRandom(chosen, partition);
      if (!withReplacement) {
        return rdd.pipe(partition, task, (row) => {
          if (random.next() < fraction) push(row);
        });
      }
      return rdd.pipe(partition, task, (row) => {
        for (let times = poisson(fraction, random); times > 0; times--) push(row);
      });
    },
  });
}

export function sampleByKey<K, V>(
  rdd: RDD<readonly [K, V]>,
  withReplacement: boolean,
  fractions: ReadonlyMap<K, number>,
  seed?: number,
): RDD<readonly [K, V]> {
  if (!(fractions instanceof Map)) {
    throw new TidemarkError('OPTION_INVALID', 'sampleByKey: fractions must be a Map from keys to fractions.');
  }
  const byIdentity = new Map<unknown, number>();
  for (const [key, fraction] of fractions) {
    checkFraction(`sampleByKey: the fraction of ${String(key)}`, fraction, withReplacement);
    byIdentity.set(keyIdentity(key), fraction);
  }
  const chosen = chooseSeed(rdd.context, 'sampleByKey', seed);
  return rdd.context.rdd<readonly [K, V]>({
    name: 'sampleByKey',
    numPartitions: rdd.numPartitions,
    partitioner: rdd.partitioner,
    dependencies: [rdd],
    pipe: (partition, task, push) => {
      const random = partitionRandom(chosen, partition);
      return rdd.pipe(partition, task, (row) => {
        const fraction = byIdentity.get(keyIdentity(row[0]));
        if (fraction === undefined) throw missingFraction(row[0]);
        const times = withReplacement ? poisson(fraction, random) : random.next() < fraction ? 1 : 0;
        for (let i = 0; i < times; i++) push(row);
      });
    },
  });
}

function missingFraction(key: unknown): TidemarkError {
  return new TidemarkError(
    'OPTION_INVALID',
    `sampleByKey: fractions has no entry for the key ${String(key)}; name every key, 0 leaves it out.`,
  );
}

/** Counts, draws positions over all partitions, and reads each partition only as far as its last position. */
export async function takeSample<T>(rdd: RDD<T>, withReplacement: boolean, n: number, seed?: number): Promise<T[]> {
  checkInteger('takeSample: n', n, 0);
  const random = partitionRandom(chooseSeed(rdd.context, 'takeSample', seed), 0);
  if (n === 0) return [];
  const counts = await rdd.context.runner.run(rdd, (partition, task) => {
    let rows = 0;
    const done = rdd.pipe(partition, task, () => {
      rows++;
    });
    return andThen(done, () => rows);
  });
  const total = counts.reduce((a, b) => a + b, 0);
  if (total === 0) return [];
  const owner: LoopOwner = { turns: rdd.context.turns, partition: 0, watch: undefined };
  const draws = withReplacement
    ? await drawAny(n, total, random, owner)
    : await drawDistinct(Math.min(n, total), total, random, owner);
  const found = await pick(rdd, counts, draws, owner);
  // Fewer than drawn only when the RDD gives other rows each time it is computed.
  const rows: T[] = [];
  const take = (position: number): void => {
    if (found.has(position)) rows.push(found.get(position)!);
  };
  await pushRows(draws, take, owner);
  return rows;
}

async function drawAny(n: number, total: number, random: Random, owner: LoopOwner): Promise<number[]> {
  const draws: number[] = [];
  await inTurns(owner, 0, n, (start, end) => {
    for (let i = start; i < end; i++) draws.push(Math.floor(random.next() * total));
  });
  return draws;
}

/** `n` different numbers below `total`, in random order (Floyd's method, then a shuffle). */
async function drawDistinct(n: number, total: number, random: Random, owner: LoopOwner): Promise<number[]> {
  const chosen = new Set<number>();
  await inTurns(owner, total - n, total, (start, end) => {
    for (let limit = start; limit < end; limit++) {
      const draw = Math.floor(random.next() * (limit + 1));
      chosen.add(chosen.has(draw) ? limit : draw);
    }
  });
  const draws = [...chosen];
  await inTurns(owner, 0, draws.length - 1, (start, end) => {
    for (let k = start; k < end; k++) {
      const i = draws.length - 1 - k;
      const j = Math.floor(random.next() * (i + 1));
      [draws[i], draws[j]] = [draws[j]!, draws[i]!];
    }
  });
  return draws;
}

/** The rows at these positions over all partitions. */
async function pick<T>(
  rdd: RDD<T>,
  counts: readonly number[],
  positions: readonly number[],
  owner: LoopOwner,
): Promise<Map<number, T>> {
  const ascending: number[] = [];
  const addOnce = (position: number): void => {
    if (position !== ascending.at(-1)) ascending.push(position);
  };
  await pushRows(await sortInTurns(positions.slice(), (a, b) => a - b, owner), addOnce, owner);
  const wanted = new Map<number, number[]>();
  const starts: number[] = [];
  let start = 0;
  let next = 0;
  counts.forEach((count, partition) => {
    starts.push(start);
    const inside: number[] = [];
    for (; next < ascending.length && ascending[next]! < start + count; next++) inside.push(ascending[next]! - start);
    if (inside.length > 0) wanted.set(partition, inside);
    start += count;
  });
  const parts = await rdd.context.runner.run(
    rdd,
    (partition, task) => {
      const offsets = wanted.get(partition)!;
      const rows: [number, T][] = [];
      let index = 0;
      const done = pipeWhile(rdd, partition, task, (row) => {
        if (index++ === offsets[rows.length]) rows.push([starts[partition]! + index - 1, row]);
        return rows.length < offsets.length;
      });
      return andThen(done, () => rows);
    },
    [...wanted.keys()],
  );
  const found = new Map<number, T>();
  for (const part of parts) await pushRows(part, ([position, row]) => found.set(position, row), owner);
  return found;
}

/** How often something happens that happens `mean` times on average. */
function poisson(mean: number, random: Random): number {
  let count = 0;
  // exp(-mean) would be 0 for large means: draw in parts, which add up to a draw of the whole.
  for (let rest = mean; rest > 0; rest -= 500) {
    const limit = Math.exp(-Math.min(rest, 500));
    for (let product = random.next(); product > limit; product *= random.next()) count++;
  }
  return count;
}

function partitionRandom(seed: number, partition: number): Random {
  return new SeededRandom(mix32(seed + Math.imul(partition, 0x9e3779b9)));
}

function chooseSeed(context: RddContext, operator: string, seed: number | undefined): number {
  if (seed === undefined) return Math.floor(context.random.next() * 2 ** 32);
  const whole = checkInteger(`${operator}: seed`, seed, Number.MIN_SAFE_INTEGER);
  return mix32(whole % 2 ** 32) ^ Math.floor(whole / 2 ** 32);
}

function checkFraction(field: string, fraction: number, withReplacement: boolean): void {
  const isFine = Number.isFinite(fraction) && fraction >= 0 && (withReplacement || fraction <= 1);
  if (isFine) return;
  const range = withReplacement ? 'a number of at least 0' : 'between 0 and 1 without replacement';
  throw new TidemarkError('OPTION_INVALID', `${field} must be ${range}, not ${String(fraction)}.`);
}
