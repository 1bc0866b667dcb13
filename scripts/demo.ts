import { SystemClock } from '../src/base/clock.ts';
import { TidemarkError, toError } from '../src/base/errors.ts';
import { Display } from './demo/display.ts';
import { demoHelp, parseDemoOptions } from './demo/options.ts';
import { interrupts, runDemo } from './demo/run.ts';
import { localPlace, openSetting } from './demo/setting.ts';

// `npm start`: see demoHelp.
const clock = new SystemClock();
const display = new Display(
  {
    isTTY: process.stdout.isTTY === true,
    // Read when needed: the window may be resized.
    get columns() {
      return process.stdout.columns ?? 120;
    },
    get rows() {
      return process.stdout.rows ?? 40;
    },
    write: (text) => void process.stdout.write(text),
  },
  () => clock.now(),
);

async function main(): Promise<number> {
  const options = parseDemoOptions(process.argv.slice(2));
  if (options === undefined) {
    console.log(demoHelp);
    return 0;
  }
  const stop = interrupts(
    process,
    () => clock.now(),
    () => process.exit(130),
  );
  const setting = await openSetting(options, process.env, localPlace(), clock.now(), (line) => display.line(line));
  try {
    display.line(setting.description);
    const driverScript = 'scripts/demo/driver.ts';
    const { failure, kills, verdict } = await runDemo({ options, setting, display, clock, stop, driverScript });
    display.line(`\nthe application was killed ${kills} ${kills === 1 ? 'time' : 'times'}`);
    if (failure !== undefined) display.line(`failed: ${failure}`);
    return failure === undefined && verdict?.clean ? 0 : 1;
  } finally {
    await setting.close();
  }
}

try {
  process.exit(await main());
} catch (thrown) {
  const error = toError(thrown);
  console.error(error instanceof TidemarkError ? `${error.code}: ${error.message}` : error);
  process.exit(error instanceof TidemarkError && error.code === 'OPTION_INVALID' ? 2 : 1);
}
