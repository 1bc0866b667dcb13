import { describe, expect, test } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import type { ObjectStore, PutOutcome } from '../../../src/storage/object-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import type { SimulatedProgram } from '../../../src/testing/simulation/driver.ts';
import type { SimulationModel } from '../../../src/testing/simulation/line.ts';
import { type SimulationOptions, simulate } from '../../../src/testing/simulation/simulate.ts';
import type { SimulatedRow } from '../../../src/testing/simulation/topic.ts';

interface Order {
  readonly customer: string;
  readonly amount: number;
}

/** What a user would write: a pipeline, and the same thing over arrays. */
function totals(driver: SimulatedProgram<Order>): StreamingContext {
  const ssc = new StreamingContext({
    ...driver.contextOptions,
    checkpoint: { manifestEveryRecords: 3, silenceThresholdMs: 1000, inlineBytesMax: 50 },
    catchUpBatchesMax: 5,
  });
  const perCustomer = ssc
    .sourceStream(driver.source(), { uid: 'orders' })
    .map(({ value }) => [value.customer, value.amount] as const)
    .updateStateByKey((amounts, sum: number | undefined) => amounts.reduce((a, b) => a + b, sum ?? 0), { uid: 'sum' });
  perCustomer.saveTo(driver.sink('totals'), { uid: 'totals' });
  perCustomer.foreachRDD(driver.act('pushed'), { uid: 'pushed' });
  return ssc;
}

function totalsOverArrays(): SimulationModel<Order> {
  const sums = new Map<string, number>();
  const batch: SimulationModel<Order>['batch'] = ({ batchId, rows, outputs }) => {
    for (const { value } of rows) sums.set(value.customer, (sums.get(value.customer) ?? 0) + value.amount);
    const expected = [...sums].sort();
    for (const name of ['totals', 'pushed']) {
      const actual = [...(outputs.get(name)?.flat() ?? [])].sort();
      if (JSON.stringify(actual) !== JSON.stringify(expected)) {
        throw new Error(`${name} of batch ${batchId} is ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`);
      }
    }
    return undefined;
  };
  return { batch };
}

function options(seed: number, changes: Partial<SimulationOptions<Order>> = {}): SimulationOptions<Order> {
  return {
    seed,
    program: totals,
    source: {
      row: (random) => ({ customer: `c${Math.floor(random.next() * 4)}`, amount: Math.floor(random.next() * 50) }),
    },
    model: totalsOverArrays,
    ...changes,
  };
}

describe('a program that keeps its promises', () => {
  test.each(Array.from({ length: 25 }, (_, index) => index + 1))('holds in seed %i', async (seed) => {
    const report = await simulate(options(seed));
    expect(report.batches).toBeGreaterThan(2);
    expect(report.rows).toBeGreaterThan(0);
  });

  test('runs quietly without faults: one start, one fence, one write per batch and one per plan', async () => {
    const report = await simulate(options(3, { faults: 'none', program: quiet, model: undefined }));
    // The driver is killed once, when the calm begins; one more runs to the end.
    expect(report).toMatchObject({ starts: 2, fences: 2, recreatedSlots: 0 });
    const { batches, requests } = report.calm;
    // Fence, hint, drain, hint; a plan and a record for every batch.
    expect(requests.put).toBeLessThanOrEqual(4 + 2 * batches);
    expect(requests.list).toBe(0);
  });

  test('a seed gives the same run again, to the last step', async () => {
    const lines: string[][] = [[], []];
    const reports = [];
    for (const own of lines) reports.push(await simulate(options(11, { trace: (line) => own.push(line) })));
    expect(reports[1]).toEqual(reports[0]);
    expect(lines[1]).toEqual(lines[0]);
    expect(lines[0]!.length).toBeGreaterThan(100);
  });

  test('other seeds give other runs', async () => {
    const fingerprints = new Set<string>();
    for (let seed = 1; seed <= 5; seed++) fingerprints.add((await simulate(options(seed))).fingerprint);
    expect(fingerprints.size).toBe(5);
  });
});

/** One output of each class that writes after the commit, while people use all tools. */
function afterwards(driver: SimulatedProgram<Order>): StreamingContext {
  const ssc = new StreamingContext({
    ...driver.contextOptions,
    checkpoint: { manifestEveryRecords: 3, silenceThresholdMs: 1000, inlineBytesMax: 50, requestPollMs: 500 },
    catchUpBatchesMax: 5,
  });
  const orders = ssc.sourceStream(driver.source(), { uid: 'orders' });
  orders.saveTo(driver.writer('table'), { uid: 'table' });
  orders.saveTo(driver.ledger('ledger'), { uid: 'ledger' });
  orders.saveTo(driver.outbox('feed'), { uid: 'feed' });
  return ssc;
}

function rowsAfterwards(names: readonly string[]): () => SimulationModel<Order> {
  return () => ({ batch: ({ rows }) => new Map(names.map((name) => [name, rows])) });
}

const tools = { savepoint: 0.3, drain: 0.2, rewind: 0.2, fork: 0.1, readerCrash: 0.2 };

describe('a program whose outputs write after the commit, while people rewind, fork, drain and pin it', () => {
  test('holds, and all of this happens', async () => {
    const totals: Record<string, number> = {};
    for (let seed = 1; seed <= 12; seed++) {
      const model = rowsAfterwards(['table', 'ledger', 'feed']);
      const report = await simulate(options(seed, { program: afterwards, model, faults: tools, intervals: 15 }));
      for (const [kind, count] of Object.entries({ ...report.tools, ...report.written, ...report.outbox })) {
        totals[kind] = (totals[kind] ?? 0) + count;
      }
    }
    for (const kind of [
      'savepoints',
      'drains',
      'rewinds',
      'forks',
      'writes',
      'transactions',
      'rewindsTold',
      'events',
    ]) {
      expect(totals[kind], kind).toBeGreaterThan(0);
    }
  }, 60_000);
});

function quiet(driver: SimulatedProgram<Order>): StreamingContext {
  const ssc = new StreamingContext({ ...driver.contextOptions });
  ssc
    .sourceStream(driver.source(), { uid: 'orders' })
    .map(({ value }) => [value.customer, value.amount] as const)
    .reduceByKey((a, b) => a + b)
    .foreachRDD(driver.act('acts'), { uid: 'acts' });
  return ssc;
}

/** Runs seeds until one fails; the message it fails with. */
async function firstViolation(
  seedsMax: number,
  changes: (seed: number) => Partial<SimulationOptions<Order>>,
): Promise<string> {
  for (let seed = 1; seed <= seedsMax; seed++) {
    try {
      await simulate(options(seed, changes(seed)));
    } catch (error) {
      expect(error).toBeInstanceOf(TidemarkError);
      expect((error as TidemarkError).code).toBe('SIMULATION_FAILED');
      expect((error as TidemarkError).context).toEqual({ seed });
      return (error as Error).message;
    }
  }
  return `nothing in ${seedsMax} seeds`;
}

/** A store whose writes answer something else than the truth. */
function withPuts(store: ObjectStore, answer: (name: string, outcome: PutOutcome) => PutOutcome): ObjectStore {
  return new Proxy(store, {
    get(target, property) {
      if (property !== 'putIfAbsent' && property !== 'compareAndSwap') {
        const value: unknown = Reflect.get(target, property);
        return typeof value === 'function' ? value.bind(target) : value;
      }
      return async (name: string, ...rest: unknown[]) => {
        const put = target[property] as (...args: unknown[]) => Promise<PutOutcome>;
        return answer(name, await put.call(target, name, ...rest));
      };
    },
  });
}

const done = (etag: string): PutOutcome => ({ status: 'done', etag, serverTimeMs: 0, recognised: false });

describe('what breaks a promise is found', () => {
  test('a program whose result is not determined by its rows', async () => {
    let calls = 0;
    const program = (driver: SimulatedProgram<Order>): StreamingContext => {
      const ssc = new StreamingContext({ ...driver.contextOptions });
      ssc
        .sourceStream(driver.source(), { uid: 'orders' })
        .map(() => ++calls)
        .foreachRDD(driver.act('calls'), { uid: 'calls' });
      return ssc;
    };
    expect(await firstViolation(30, () => ({ program, model: undefined }))).toContain("Output 'calls' repeats batch");
  });

  test('a function that drops rows', async () => {
    const program = (driver: SimulatedProgram<Order>): StreamingContext => {
      const ssc = new StreamingContext({ ...driver.contextOptions });
      const sums = ssc
        .sourceStream(driver.source(), { uid: 'orders' })
        .filter(({ sequence }) => sequence !== 7)
        .map(({ value }) => [value.customer, value.amount] as const)
        .updateStateByKey((amounts, sum: number | undefined) => amounts.reduce((a, b) => a + b, sum ?? 0));
      sums.saveTo(driver.sink('totals'));
      sums.foreachRDD(driver.act('pushed'));
      return ssc;
    };
    expect(await firstViolation(3, () => ({ program }))).toContain('totals of batch');
  });

  test('a database that forgets which batch it has', async () => {
    const program = (driver: SimulatedProgram<Order>): StreamingContext => {
      const ssc = new StreamingContext({ ...driver.contextOptions });
      const ledger = driver.ledger<SimulatedRow<Order>>('ledger');
      ssc.sourceStream(driver.source(), { uid: 'orders' }).saveTo({
        sinkClass: 'transactional',
        kind: 'forgetful',
        description: 'forgetful',
        open: async (opening) => ledger.open?.(opening),
        onRewind: async (rewind) => ledger.onRewind?.(rewind),
        transaction: (work) => ledger.transaction((tx) => work({ ...tx, readProgress: async () => undefined })),
      });
      return ssc;
    };
    const model = rowsAfterwards(['ledger']);
    expect(await firstViolation(40, () => ({ program, model }))).toMatch(/writes batch \d+ a second time/);
  });

  test('a sink that nobody tells of a rewind', async () => {
    const program = (driver: SimulatedProgram<Order>): StreamingContext => {
      const ssc = new StreamingContext({ ...driver.contextOptions });
      const table = driver.writer<SimulatedRow<Order>>('table');
      ssc.sourceStream(driver.source(), { uid: 'orders' }).saveTo({
        sinkClass: 'idempotent',
        kind: 'deaf',
        description: 'deaf',
        open: async (opening) => table.open?.(opening),
        write: (rows, batch) => table.write(rows, batch),
      });
      return ssc;
    };
    const model = rowsAfterwards(['table']);
    expect(await firstViolation(20, () => ({ program, model, faults: tools }))).toContain('was not told of the rewind');
  });

  test('an outbox whose rows are not those of its batch', async () => {
    const program = (driver: SimulatedProgram<Order>): StreamingContext => {
      const ssc = new StreamingContext({ ...driver.contextOptions });
      const others = ssc.sourceStream(driver.source(), { uid: 'orders' }).filter(({ sequence }) => sequence !== 7);
      others.saveTo(driver.outbox('feed'), { uid: 'feed' });
      return ssc;
    };
    const model = rowsAfterwards(['feed']);
    expect(await firstViolation(3, () => ({ program, model }))).toContain("The reader of 'feed' is given");
  });

  test('a source that begins at its start again after a restart', async () => {
    const program = (driver: SimulatedProgram<Order>): StreamingContext => {
      const source = driver.source();
      const forgetful: SimulatedProgram<Order> = {
        ...driver,
        contextOptions: driver.contextOptions,
        sink: (name) => driver.sink(name),
        act: (name) => driver.act(name),
        source: () =>
          new Proxy(source, {
            get(target, property) {
              if (property === 'start')
                return (start: object) => target.start({ ...start, position: undefined } as never);
              const value: unknown = Reflect.get(target, property);
              return typeof value === 'function' ? value.bind(target) : value;
            },
          }),
      };
      return totals(forgetful);
    };
    expect(await firstViolation(5, () => ({ program }))).toMatch(/does not follow plan|is adopted after/);
  });

  test('a sink that publishes when it stages', async () => {
    const program = (driver: SimulatedProgram<Order>): StreamingContext => {
      const ssc = new StreamingContext({ ...driver.contextOptions });
      const sink = driver.sink<SimulatedRow<Order>>('rows');
      ssc.sourceStream(driver.source(), { uid: 'orders' }).saveTo({
        sinkClass: 'staged',
        kind: 'hasty',
        description: 'hasty',
        guarantee: 'exactly once',
        stage: async (batch, partitions) => {
          const handle = await sink.stage(batch, partitions);
          await sink.publish(handle);
          return handle;
        },
        publish: (handle) => sink.publish(handle),
      });
      return ssc;
    };
    const violation = await firstViolation(3, () => ({ program, model: undefined }));
    expect(violation).toContain("Output 'rows' of batch 2 is published, and it is staged");
  });

  test('an occupied slot that is taken for an own one', async () => {
    const wrapStore = (store: ObjectStore): ObjectStore =>
      withPuts(store, (name, put) => (name.startsWith('log/') && put.status === 'lost' ? done('1') : put));
    await expect(firstViolation(60, () => ({ wrapStore }))).resolves.not.toContain('nothing');
  });

  test('an unknown outcome that is taken for a success', async () => {
    const wrapStore = (store: ObjectStore): ObjectStore =>
      withPuts(store, (name, put) => (name.startsWith('log/') && put.status === 'unknown' ? done('1') : put));
    await expect(firstViolation(60, () => ({ wrapStore }))).resolves.not.toContain('nothing');
  });

  test('an unknown outcome that is taken for a loss', async () => {
    const wrapStore = (store: ObjectStore): ObjectStore =>
      withPuts(store, (name, put) => {
        return name.startsWith('log/') && put.status === 'unknown' ? { status: 'lost', serverTimeMs: 0 } : put;
      });
    expect(await firstViolation(60, () => ({ wrapStore }))).toContain('there is no newer fence');
  });

  test('deletes before the floor is raised', async () => {
    // The floor is written nowhere, and the driver believes that it was.
    const wrapStore = (store: ObjectStore): ObjectStore =>
      new Proxy(store, {
        get(target, property) {
          const value: unknown = Reflect.get(target, property);
          if (property === 'compareAndSwap') {
            return (name: string, ...rest: [Uint8Array, string | undefined, string]) =>
              name === 'gc/floor' ? Promise.resolve(done('1')) : target.compareAndSwap(name, ...rest);
          }
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    expect(await firstViolation(20, () => ({ wrapStore }))).toContain('was deleted, and the floor is 0');
  });
});
