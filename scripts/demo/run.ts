import { once } from 'node:events';
import type { Clock } from '../../src/base/clock.ts';
import { toError } from '../../src/base/errors.ts';
import { type Random, SeededRandom } from '../../src/base/random.ts';
import { Child } from './child.ts';
import type { Display } from './display.ts';
import { DriverKeeper } from './driver-keeper.ts';
import { readLedger } from './ledger.ts';
import type { DemoOptions } from './options.ts';
import { readCountLines } from './output-reader.ts';
import type { GeneratorMessage } from './protocol.ts';
import type { DemoSetting } from './setting.ts';
import { formatVerdict, judge, type Verdict } from './verdict.ts';

export interface DemoRun {
  readonly options: DemoOptions;
  readonly setting: DemoSetting;
  readonly display: Display;
  readonly clock: Clock;
  /** Aborted: end the run now, in good order. */
  readonly stop: AbortSignal;
  /** The application, relative to the project. */
  readonly driverScript: string;
}

export interface DemoResult {
  readonly verdict: Verdict | undefined;
  /** Why the run could not be judged, or did not end as it should. */
  readonly failure: string | undefined;
  readonly kills: number;
}

const generatorTimeoutMs = 60_000;
// The last kill must leave the application time to come back before it is asked to stop.
const quietEndMs = 2_000;

/**
 * One run, from top to bottom: generator, driver, kills, graceful end, verdict. Whatever happens, the children are gone
 * when it resolves; the services are the caller's.
 */
export async function runDemo(run: DemoRun): Promise<DemoResult> {
  const { clock, display, driverScript, options, setting } = run;
  const over = new AbortController();
  const stopNow = (): void => over.abort();
  run.stop.addEventListener('abort', stopNow, { once: true });
  if (run.stop.aborted) stopNow();
  let failure: string | undefined;
  const fail = (reason: string): void => {
    failure ??= reason;
    over.abort();
  };
  void setting.lost.then(() => fail('the services ended by themselves'));

  const generator = startGenerator(run, fail);
  let driver: DriverKeeper | undefined;
  try {
    const { startingSequenceNumbers } = await generator.next('ready', generatorTimeoutMs);
    const env = { ...setting.env, TIDEMARK_STARTING_SEQUENCE_NUMBERS: JSON.stringify(startingSequenceNumbers) };
    driver = new DriverKeeper({ script: driverScript, env, display, onFailure: fail });
    await driver.start();
    const endMs = clock.now() + options.durationMs;
    await Promise.all([
      clock
        .waitUntil(endMs, over.signal)
        .catch(() => {})
        .finally(stopNow),
      crashNowAndThen(driver, options, clock, endMs, over.signal),
    ]);
    if (failure === undefined) await finish(generator, driver, display, fail);
  } catch (thrown) {
    failure ??= toError(thrown).message;
  } finally {
    run.stop.removeEventListener('abort', stopNow);
    await Promise.all([generator.kill(), driver?.kill()]);
  }
  display.end();
  const kills = driver?.kills ?? 0;
  try {
    return { verdict: await reach(setting, display), failure, kills };
  } catch (thrown) {
    return { verdict: undefined, failure: failure ?? toError(thrown).message, kills };
  }
}

function startGenerator(run: DemoRun, fail: (reason: string) => void): Child<GeneratorMessage> {
  const { display, options, setting } = run;
  let finished = false;
  const generator = new Child<GeneratorMessage>({
    name: 'generator',
    script: 'scripts/demo/generator.ts',
    args: [
      `--rate=${options.rate}`,
      `--devices=${options.devices}`,
      `--seed=${options.seed}`,
      `--ledger=${setting.ledgerFile}`,
    ],
    env: setting.env,
    onMessage: (message) => {
      if (message.type === 'finished') finished = true;
      if (message.type === 'failed') fail(`generator: ${message.code}: ${message.message}`);
      if (message.type === 'progress' && message.behind > options.rate) {
        display.line(
          `generator: ${message.behind.toLocaleString('en-US')} events behind, this machine does not keep up with the rate`,
        );
      }
    },
    onLine: (line) => display.line(`generator: ${line}`),
  });
  void generator.ended.then(() => {
    if (!finished) fail('the generator ended by itself');
  });
  return generator;
}

/** Kills the driver about every `crashEveryMs` until the signal; the moments differ, so that they hit all parts of a batch. */
async function crashNowAndThen(
  driver: DriverKeeper,
  options: DemoOptions,
  clock: Clock,
  endMs: number,
  over: AbortSignal,
): Promise<void> {
  if (options.crashEveryMs === undefined) return;
  const random: Random = new SeededRandom(options.seed);
  let dueMs = clock.now();
  while (!over.aborted) {
    dueMs = Math.max(clock.now(), dueMs + options.crashEveryMs * (0.9 + random.next() * 0.2));
    if (dueMs > endMs - quietEndMs) return;
    await clock.waitUntil(dueMs, over).catch(() => {});
    while (!over.aborted && !driver.hasProgressed) await clock.waitUntil(clock.now() + 50, over).catch(() => {});
    if (!over.aborted) await driver.crash();
  }
}

/** First the generator, so that nothing new arrives; then the driver, which processes all that has arrived. */
async function finish(
  generator: Child<GeneratorMessage>,
  driver: DriverKeeper,
  display: Display,
  fail: (reason: string) => void,
): Promise<void> {
  display.line('stopping: the generator, then the application when it has processed what has arrived');
  const finished = generator.next('finished', generatorTimeoutMs);
  generator.send({ type: 'stop' });
  await finished;
  if (!(await driver.stop())) fail('the driver did not stop in good order');
}

async function reach(setting: DemoSetting, display: Display): Promise<Verdict> {
  const { lines, objects } = await readCountLines(setting.container, setting.countsPrefix);
  const verdict = judge(readLedger(setting.ledgerFile), lines);
  display.line(
    `\nread ${objects} objects, ${lines.length.toLocaleString('en-US')} lines below ${setting.countsPrefix}\n`,
  );
  display.line(formatVerdict(verdict));
  return verdict;
}

/** Two Ctrl-C: npm and the terminal both send the first one, so a second counts only a moment later. */
export function interrupts(source: NodeJS.EventEmitter, now: () => number, onSecond: () => void): AbortSignal {
  const stop = new AbortController();
  let firstMs: number | undefined;
  const interrupted = (): void => {
    firstMs ??= now();
    stop.abort();
    if (now() - firstMs > 500) onSecond();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) source.on(signal, interrupted);
  // The bootstrap that started this process is gone.
  void once(source, 'disconnect').then(onSecond);
  return stop.signal;
}
