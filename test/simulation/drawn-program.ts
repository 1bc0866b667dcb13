import type { Random } from '../../src/base/random.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Duration } from '../../src/base/time.ts';
import type { StreamingContextOptions } from '../../src/execution/context-options.ts';
import type { SimulationFaults } from '../../src/testing/simulation/faults.ts';

/** What every row holds. The rest of a row, its partition and sequence number, comes from the simulator. */
export interface Reading {
  readonly key: string | number;
  readonly value: number;
}

interface OutputShape {
  /** Acts during the batch in a foreachRDD, is staged before the commit, or acts after it: under keys, in transactions, as an outbox. */
  readonly mode: 'acts' | 'staged' | 'writes' | 'transacts' | 'outbox';
}

/** How an output is computed. `kind` names the operator; the engine's and the model's reading of it share nothing else. */
export type OperatorShape = OutputShape &
  (
    | { readonly kind: 'rows' }
    | { readonly kind: 'sums' }
    | { readonly kind: 'lists'; readonly removeAt: number }
    | { readonly kind: 'sessions'; readonly timeoutIntervals: number | undefined; readonly removeAt: number }
    | {
        readonly kind: 'window';
        readonly length: number;
        readonly slide: number;
        readonly inverse: boolean;
        readonly filter: boolean;
      }
    | { readonly kind: 'recent'; readonly length: number; readonly slide: number }
  );

/** One deployed version of the program. */
export interface VersionShape {
  readonly parallelism: number;
  readonly checkpoint: NonNullable<StreamingContextOptions['checkpoint']>;
  /** Outputs whose state this version gives up. */
  readonly drops: readonly string[];
}

export interface ProgramShape {
  readonly seed: number;
  readonly batchInterval: Duration;
  readonly intervals: number;
  readonly planAhead: boolean;
  readonly catchUpBatchesMax: number;
  readonly partitions: number;
  readonly partitionsPerVersion: number;
  readonly rowsPerBatch: number;
  readonly rowsPerPartitionMax: number | undefined;
  readonly keys: readonly (string | number)[];
  /** By output name, which is also the operator's uid. */
  readonly outputs: ReadonlyMap<string, OperatorShape>;
  readonly versions: readonly VersionShape[];
  /** Sleepers and what is cleaned away under them, in many of these seeds: else it takes thousands to meet a rare case. */
  readonly hasSleepers: boolean;
  /** How often readers of outboxes die. */
  readonly readerCrash: number;
  /** What people do with tools; undefined: as the simulator draws it, which is seldom. */
  readonly tools: Pick<SimulationFaults, 'savepoint' | 'drain' | 'rewind' | 'fork'> | undefined;
}

/** A program of the engine drawn from a seed: sources, operators, outputs, options and their changes over redeploys. */
export function drawProgram(seed: number): ProgramShape {
  const random = new SeededRandom(seed ^ 0x9e3779b9);
  const chance = (probability: number): boolean => random.next() < probability;
  const pick = <T>(...choices: readonly T[]): T => choices[Math.floor(random.next() * choices.length)]!;
  const hasTools = chance(0.4);
  // Tools ask once per second, and give up after five minutes.
  const intervalMs = hasTools ? pick(500, 1000, 5000, 60_000) : pick(50, 250, 1000, 5000, 60_000, 3_600_000);
  const outputs = new Map<string, OperatorShape>();
  const add = (name: string, shape: OperatorShape): void => void outputs.set(name, shape);
  // Few of them per seed: the run is short, and combinations come from the number of seeds.
  const actsChance = pick(0, 0.3, 1);
  const afterChance = pick(0, 0.5, 0.8);
  const mode = (): OutputShape['mode'] =>
    chance(actsChance) ? 'acts' : chance(afterChance) ? pick('writes', 'transacts', 'outbox') : 'staged';
  // At which times an output with a slide runs is seen from the committed batches; what is written after is no part of them.
  const modeOfSliding = (): OutputShape['mode'] => (chance(actsChance) ? 'acts' : 'staged');
  if (chance(0.5)) add('rows', { kind: 'rows', mode: mode() });
  if (chance(0.3)) add('sums', { kind: 'sums', mode: mode() });
  if (chance(0.6)) add('lists', { kind: 'lists', removeAt: pick(5, 9, 1000), mode: mode() });
  if (chance(0.5)) {
    add('sessions', {
      kind: 'sessions',
      timeoutIntervals: pick(undefined, 1, 3),
      removeAt: pick(6, 1000),
      mode: mode(),
    });
  }
  if (chance(0.4)) {
    const slide = pick(1, 1, 2, 3);
    add('window', {
      kind: 'window',
      length: slide * pick(1, 2, 3) + (slide === 2 ? pick(0, 1) : 0),
      slide,
      inverse: chance(0.5),
      filter: chance(0.5),
      mode: modeOfSliding(),
    });
  }
  if (chance(0.25)) add('recent', { kind: 'recent', length: pick(2, 3), slide: pick(1, 2), mode: modeOfSliding() });
  if (outputs.size === 0) add('lists', { kind: 'lists', removeAt: 9, mode: mode() });
  const versions = pick(1, 1, 2, 3);
  const hasSleepers = chance(0.25);
  return {
    seed,
    batchInterval: new Duration(intervalMs),
    intervals: hasTools ? pick(8, 16) : pick(4, 6, 8, 8, 16),
    planAhead: chance(0.3),
    catchUpBatchesMax: pick(2, 5, 12),
    partitions: pick(1, 2, 3),
    partitionsPerVersion: pick(0, 0, 1),
    rowsPerBatch: pick(1, 3, 5),
    rowsPerPartitionMax: pick(undefined, undefined, 4),
    keys: ['a', 'b', 1, '1', 'long key', 'x'].slice(0, pick(2, 4, 6)),
    outputs,
    versions: Array.from({ length: versions }, (_, version) =>
      drawVersion(random, version, intervalMs, outputs, hasSleepers),
    ),
    hasSleepers,
    readerCrash: pick(0, 0.4, 0.8),
    tools: hasTools
      ? {
          savepoint: pick(0, 0.5),
          drain: pick(0.1, 0.4),
          rewind: pick(0, 0.1, 0.25),
          fork: pick(0, 0.1),
        }
      : undefined,
  };
}

function drawVersion(
  random: Random,
  version: number,
  intervalMs: number,
  outputs: ReadonlyMap<string, OperatorShape>,
  hasSleepers: boolean,
): VersionShape {
  const pick = <T>(...choices: readonly T[]): T => choices[Math.floor(random.next() * choices.length)]!;
  const stateful = [...outputs].filter(([, { kind }]) => kind === 'lists' || kind === 'sessions');
  return {
    parallelism: pick(1, 2, 3),
    checkpoint: {
      inlineBytesMax: pick(0, 100, 4_000_000),
      segmentBytesMax: pick(100, 100_000),
      manifestEveryRecords: hasSleepers ? 1 : pick(1, 3, 5, 8),
      manifestEveryBytes: pick(500, 1_000_000, 1_000_000),
      compactionAlpha: pick(0, 0.5, 5),
      retainManifests: hasSleepers ? 1 : pick(1, 2, 3),
      pipelineBatchesMax: pick(1, 2, 8),
      pipelineBytesMax: pick(100, 1_000_000),
      commitTimeoutMs: pick(1000, 30_000, 300_000),
      // Short enough that things are deleted within the run, and that sleepers sleep longer.
      requestPollMs: Math.max(1, Math.floor(intervalMs * pick(0.5, 1, 2))),
      retainMs: Math.floor(intervalMs * pick(0, 0, 8)),
      silenceThresholdMs: Math.floor(intervalMs * (hasSleepers ? pick(0.5, 0.5, 5) : pick(0.5, 1, 2, 1000))),
    },
    drops: version > 0 && random.next() < 0.4 ? stateful.slice(0, 1).map(([name]) => name) : [],
  };
}
