import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { projectRoot } from '../../../scripts/steps.ts';
import { Milliseconds, Seconds } from '../../../src/base/time.ts';
import type { StreamingContextOptions } from '../../../src/execution/context-options.ts';
import { withSparkSettings } from '../../../src/spark-settings.ts';
import { errorOf } from '../engine/support.ts';
import { numbers, testContext } from './support.ts';

const ok: StreamingContextOptions = { appName: 'x', batchInterval: Seconds(1) };

describe("settings by Spark's names", () => {
  test('stand for our options, as values or as texts', () => {
    const { options, checkpointUrl } = withSparkSettings({
      ...ok,
      settings: {
        'spark.streaming.backpressure.enabled': 'true',
        'spark.streaming.backpressure.initialRate': '500',
        'spark.streaming.backpressure.rateEstimator': 'pid',
        'spark.streaming.backpressure.pid.proportional': 0.5,
        'spark.streaming.backpressure.pid.integral': 0.1,
        'spark.streaming.backpressure.pid.derived': 0.3,
        'spark.streaming.backpressure.pid.minRate': 10,
        'spark.streaming.stopGracefullyOnShutdown': true,
        'spark.streaming.gracefulStopTimeout': '90s',
        'spark.streaming.checkpoint.directory': 'memory:settings',
        'spark.default.parallelism': 8,
        'spark.task.maxFailures': 2,
        'spark.scheduler.listenerbus.eventqueue.capacity': 100,
      },
    });
    expect(options).toEqual({
      ...ok,
      backpressure: {
        enabled: true,
        initialRate: 500,
        pid: { proportional: 0.5, integral: 0.1, derived: 0.3, minRate: 10 },
      },
      stopGracefullyOnShutdown: true,
      gracefulStopTimeout: Seconds(90),
      defaultParallelism: 8,
      taskAttemptsMax: 2,
      listenerQueueLengthMax: 100,
    });
    expect(checkpointUrl).toBe('memory:settings');
  });

  test.each([
    ['1500', 1500],
    [1500, 1500],
    ['250ms', 250],
    ['10s', 10_000],
    ['2m', 120_000],
    ['2min', 120_000],
    ['1 h', 3_600_000],
  ])('a duration may be %s', (value, ms) => {
    const { options } = withSparkSettings({ ...ok, settings: { 'spark.streaming.gracefulStopTimeout': value } });
    expect(options.gracefulStopTimeout).toEqual(Milliseconds(ms));
  });

  test.each([
    [{ 'spark.streaming.backpresure.enabled': true }, /no key 'spark.streaming.backpresure.enabled'. Accepted: spark/],
    [{ toString: true }, /no key 'toString'/],
    [{ 'spark.streaming.backpressure.enabled': 'yes' }, /is "yes"; give true or false/],
    [{ 'spark.default.parallelism': 'many' }, /is "many"; give a number/],
    [{ 'spark.default.parallelism': '' }, /is ""; give a number/],
    [{ 'spark.default.parallelism': 0 }, /defaultParallelism is 0/],
    [{ 'spark.streaming.gracefulStopTimeout': '5 parsecs' }, /give milliseconds, or a text such as '10s'/],
    [{ 'spark.streaming.gracefulStopTimeout': '0' }, /gracefulStopTimeout \(in milliseconds\) is 0/],
    [{ 'spark.streaming.backpressure.rateEstimator': 'mine' }, /give 'pid'/],
    [{ 'spark.streaming.backpressure.pid.minRate': 0 }, /backpressure.pid.minRate is 0/],
  ])('%o is refused', (settings, message) => {
    expect(() => testContext({ settings })).toThrow(message);
  });

  test('what an option says too is refused; the other options of its group stay', () => {
    const settings = { 'spark.streaming.backpressure.enabled': true };
    expect(() => withSparkSettings({ ...ok, settings, backpressure: { enabled: false } })).toThrow(
      /'spark.streaming.backpressure.enabled' in settings and the option backpressure.enabled say the same/,
    );
    const { options } = withSparkSettings({ ...ok, settings, backpressure: { initialRate: 7, pid: { minRate: 3 } } });
    expect(options.backpressure).toEqual({ enabled: true, initialRate: 7, pid: { minRate: 3 } });
  });

  test('stand in docs/settings.md, every one', async () => {
    const page = await readFile(join(projectRoot, 'docs', 'settings.md'), 'utf8');
    const error = await errorOf((async () => withSparkSettings({ ...ok, settings: { unknown: 1 } }))());
    const keys = error.message.replace(/^.*Accepted: |\.$/g, '').split(', ');
    expect(keys.length).toBeGreaterThan(10);
    expect(keys.filter((key) => !page.includes(`\`${key}\``))).toEqual([]);
  });

  test('a checkpoint directory among them is the one of the context', async () => {
    const context = testContext({ settings: { 'spark.streaming.checkpoint.directory': 'nonsense://x' } });
    context.sourceStream(numbers().source()).print();
    await expect(context.start()).rejects.toMatchObject({ code: 'URL_INVALID' });
  });
});
