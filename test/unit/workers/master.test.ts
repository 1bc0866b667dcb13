import { availableParallelism } from 'node:os';
import { describe, expect, test } from 'vitest';
import { Seconds, StreamingContext } from '../../../src/index.ts';
import { workerSettings } from '../../../src/workers/master.ts';

const module = 'file:///app/program.ts';

describe('master', () => {
  test.each([
    ['local', undefined],
    ['local[1]', undefined],
    [undefined, undefined],
    ['local[2]', 2],
    ['local[128]', 128],
    ['local[*]', availableParallelism() > 1 ? availableParallelism() : undefined],
  ])('%s', (master, count) => {
    expect(workerSettings(master, module)).toEqual(count && { count, module });
  });

  test.each(['local[0]', 'local[129]', 'local[2,4]', 'local[x]', 'local[]', 'yarn', 'spark://host:7077', 2, ''])(
    '%s is refused, with what is accepted',
    (master) => {
      expect(() => workerSettings(master, module)).toThrow(
        expect.objectContaining({
          code: 'OPTION_INVALID',
          message: expect.stringMatching(/^master is .*'local\[N\]'/),
        }),
      );
    },
  );

  test('needs a module from two workers on, by its URL', () => {
    expect(() => workerSettings('local[2]', undefined)).toThrow(/module is not given.*import\.meta\.url/);
    expect(() => workerSettings('local[2]', './program.ts')).toThrow(/module is "\.\/program\.ts"; give the URL/);
    expect(workerSettings('local[2]', new URL(module))).toEqual({ count: 2, module });
  });

  test("is spark.master among Spark's settings, and given once", () => {
    const make = (options: object) => () =>
      new StreamingContext({ appName: 'x', batchInterval: Seconds(1), ...options });
    expect(make({ settings: { 'spark.master': 'local[2]' } })).toThrow(
      /master is 'local\[2\]' and module is not given/,
    );
    expect(make({ settings: { 'spark.master': 'local[2]' }, module })).not.toThrow();
    expect(make({ settings: { 'spark.master': 'local' }, master: 'local' })).toThrow(/say the same/);
  });
});
