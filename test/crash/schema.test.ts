import { beforeAll, describe, expect, test } from 'vitest';
import { type CrashPoint, crashPoints } from '../../src/base/crash-points.ts';
import { TidemarkError } from '../../src/base/errors.ts';
import { schemasOf } from '../../src/state/fingerprint.ts';
import { SchemaScenario } from './schema-scenario.ts';

const migratedAt = 5;
const endsAt = 10;

async function oldProgram(): Promise<SchemaScenario> {
  const stream = new SchemaScenario();
  expect(await stream.run('1', migratedAt)).toBe(true);
  return stream;
}

async function held(stream: SchemaScenario): Promise<Record<string, number[]>> {
  const { fingerprints } = await stream.status();
  return Object.fromEntries(Object.entries(fingerprints).map(([uid, fingerprint]) => [uid, schemasOf(fingerprint)]));
}

describe('row 24: a migration that is half done', () => {
  let uninterrupted: SchemaScenario;
  let fingerprints: Readonly<Record<string, string>>;
  let points: CrashPoint[];
  beforeAll(async () => {
    uninterrupted = await oldProgram();
    uninterrupted.passed.clear();
    await uninterrupted.run('2', endsAt);
    fingerprints = (await uninterrupted.status()).fingerprints;
    points = crashPoints.filter((point) => uninterrupted.passed.has(point));
  });

  async function expectSame(stream: SchemaScenario): Promise<void> {
    expect(stream.written).toEqual(uninterrupted.written);
    expect((await stream.status()).fingerprints).toEqual(fingerprints);
  }

  test('row 24: takes several batches, with values of both versions in records and snapshots, and then none of the old', async () => {
    const stream = await oldProgram();
    const versions: number[][] = [];
    for (let t = migratedAt + 1; t <= endsAt; t++) {
      await stream.run('2', t);
      versions.push((await held(stream)).devices!);
    }
    expect(versions.slice(0, 4)).toEqual([[1, 2], [2], [2], [2]]);
    await expectSame(stream);
  });

  test.each([1, 2])(
    'row 24: before, at and after every durable step, at occurrence %i, ends as if nothing had happened',
    async (occurrence) => {
      for (const point of points) {
        const stream = await oldProgram();
        if (!(await stream.run('2', endsAt, { point, occurrence }))) {
          // Once more at the same point, now of the recovery, then to the end.
          await stream.run('2', endsAt, { point: 'recovery:state-restored', occurrence: 1 });
          await stream.run('2', endsAt);
        }
        await expectSame(stream);
      }
    },
  );

  test.each([1, 2, 3])(
    'row 24: a record that was applied and whose answer was lost, write %i, is recognised',
    async (nth) => {
      const stream = await oldProgram();
      const lose = { type: 'put' as const, name: /^log\// };
      await stream.run('2', endsAt, undefined, (store) => store.inject({ ...lose, nth }, { kind: 'lose-answer' }));
      await expectSame(stream);
    },
  );
});

describe('row 25: the former program after a new schema', () => {
  let former: SchemaScenario;
  beforeAll(async () => {
    former = await oldProgram();
    await former.run('1', endsAt);
  });

  test.each<CrashPoint>(['recovery:fenced', 'recovery:sources-started', 'batch:staged', 'commit:before-record'])(
    'row 25: goes on when the new one died at %s, before its first commit',
    async (point) => {
      const stream = await oldProgram();
      expect(await stream.run('2', endsAt, { point, occurrence: 1 })).toBe(false);
      await stream.run('1', endsAt);
      expect(stream.written).toEqual(former.written);
      expect((await stream.status()).fingerprints).toEqual((await former.status()).fingerprints);
    },
  );

  test.each<CrashPoint>(['commit:record-written', 'batch:committed', 'batch:input-freed', 'batch:end'])(
    'row 25: is refused when the new one died at %s, after a commit, and the new one goes on',
    async (point) => {
      const stream = await oldProgram();
      // The first record of a batch with foreachRDD is its plan.
      const occurrence = point === 'commit:record-written' ? 2 : 1;
      expect(await stream.run('2', endsAt, { point, occurrence })).toBe(false);
      const before = await stream.status();
      const refused = stream.run('1', endsAt);
      await expect(refused).rejects.toBeInstanceOf(TidemarkError);
      await expect(refused).rejects.toMatchObject({ code: 'CHECKPOINT_INCOMPATIBLE' });
      expect(await stream.status()).toEqual(before);
      await stream.run('2', endsAt);
      expect((await held(stream)).devices).toEqual([2]);
    },
  );

  test('row 25: reads the new values when it says that it can, wherever it dies, and gives what it would have given', async () => {
    const points = crashPoints.filter((point) => former.passed.has(point));
    for (const point of points) {
      const stream = await oldProgram();
      await stream.run('2', 6);
      expect((await held(stream)).devices).toEqual([1, 2]);
      await stream.run('1 reads 2', endsAt, { point, occurrence: 2 });
      await stream.run('1 reads 2', endsAt);
      expect(stream.written).toEqual(former.written);
      // Back for good: the plain former program can go on, and its state is what it would have been.
      await stream.run('1', endsAt);
      expect((await stream.status()).fingerprints).toEqual((await former.status()).fingerprints);
    }
  });
});
