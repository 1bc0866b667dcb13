import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { Display } from '../../../scripts/demo/display.ts';
import { parseDemoOptions } from '../../../scripts/demo/options.ts';
import { type DemoResult, runDemo } from '../../../scripts/demo/run.ts';
import { type DemoSetting, openSetting } from '../../../scripts/demo/setting.ts';
import { SystemClock } from '../../../src/base/clock.ts';

const clock = new SystemClock();
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  delete process.env.STAND_IN_FAULT;
  for (const close of closing.splice(0).reverse()) await close();
});

interface Place {
  readonly folder: string;
  readonly args: readonly string[];
}

function place(...args: string[]): Place {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-demo-'));
  closing.push(async () => rmSync(folder, { recursive: true, force: true }));
  return { folder, args: ['--rate', '1000', '--devices', '50', ...args] };
}

/** The services on free ports with their data in a folder of the test, and a driver: the stand-in can misbehave. */
async function run(
  { folder, args }: Place,
  onLine: (line: string) => void = () => {},
  driverScript = 'test/e2e/tooling/stand-in-driver.ts',
): Promise<DemoResult & { setting: DemoSetting; printed: string }> {
  const options = parseDemoOptions(args)!;
  const settings = {
    storage: { port: 0, account: 'devstoreaccount1', container: 'tidemark', dataFolder: join(folder, 'azurite') },
    eventHubs: {
      port: 0,
      dataFolder: join(folder, 'hubs'),
      hubs: [{ name: 'telemetry', partitionCount: 3, consumerGroups: ['app'] }],
    },
  };
  mkdirSync(join(folder, 'demo'), { recursive: true });
  let printed = '';
  const write = (text: string): void => {
    printed += text;
    onLine(text);
  };
  const display = new Display({ isTTY: false, columns: 100, rows: 30, write }, () => clock.now());
  const setting = await openSetting(options, {}, { settings, folder: join(folder, 'demo') }, clock.now(), (line) =>
    display.line(line),
  );
  closing.push(() => setting.close());
  const stop = new AbortController();
  const result = await runDemo({ options, setting, display, clock, stop: stop.signal, driverScript });
  return { ...result, setting, printed };
}

test('the application, killed twice, is judged clean, and a run that goes on from it as well', async () => {
  const where = place('--duration', '10s', '--crash-every', '3s');
  const application = 'scripts/demo/driver.ts';
  const first = await run(where, undefined, application);
  expect(first).toMatchObject({ failure: undefined, verdict: { clean: true, lost: 0, duplicated: 0, uncertain: 0 } });
  expect(first.kills).toBeGreaterThanOrEqual(2);
  expect(first.verdict?.counted).toBeGreaterThan(6000);
  expect(first.printed).toMatch(/driver started in \d+ ms, nothing to recover/);
  expect(first.printed).toMatch(/driver killed \(SIGKILL\)/);
  expect(first.printed).toMatch(/driver recovered: slot \d+, epoch \d+, \d+ state keys/);
  expect(first.printed).toMatch(/\d\d:\d\d:\d\d +[\d,]+ records {2}processing/);
  expect(first.printed).toContain('Verdict: exactly once');
  await first.setting.close();

  const second = await run({ ...where, args: [...where.args, '--keep', '--duration', '3s'] }, undefined, application);
  expect(second).toMatchObject({ failure: undefined, verdict: { clean: true } });
  expect(second.verdict?.sent).toBeGreaterThan((first.verdict?.sent ?? 0) + 1000);
}, 90_000);

test('an application that loses an event is found out', async () => {
  process.env.STAND_IN_FAULT = 'lose';
  const { printed, verdict } = await run(place('--duration', '3s', '--no-crash'));
  expect(verdict).toMatchObject({ clean: false, lost: 1, duplicated: 0 });
  expect(printed).toContain('Verdict: NOT exactly once');
}, 60_000);

test('an application that publishes a batch twice is found out', async () => {
  process.env.STAND_IN_FAULT = 'double';
  const { verdict } = await run(place('--duration', '3s', '--no-crash'));
  expect(verdict?.clean).toBe(false);
  expect(verdict?.lost).toBe(0);
  expect(verdict?.duplicated).toBeGreaterThan(0);
}, 60_000);

test('an application that dies by itself ends the run with its message', async () => {
  process.env.STAND_IN_FAULT = 'die';
  const { failure } = await run(place('--duration', '30s', '--no-crash'));
  expect(failure).toMatch(/INTERNAL: Error: died on purpose/);
}, 60_000);

test('a second demo on the same data is refused before it touches anything', async () => {
  const where = place('--duration', '30s', '--no-crash');
  let started = (): void => {};
  const running = new Promise<void>((resolve) => {
    started = resolve;
  });
  const first = run({ ...where, args: [...where.args, '--duration', '3s'] }, (text) => {
    if (text.includes('driver started')) started();
  });
  await running;
  await expect(run(where)).rejects.toMatchObject({ code: 'EMULATOR_UNAVAILABLE' });
  expect(existsSync(join(where.folder, 'demo', 'ledger.jsonl'))).toBe(true);
  expect((await first).verdict?.clean).toBe(true);
}, 60_000);
