import { parseArgs } from 'node:util';
import { toError } from '../src/base/errors.ts';
import { countsOf, simulateSeed } from '../test/simulation/simulate-seed.ts';

// `npm run simulate -- --seed 7`: replays one seed; with --trace it tells what happens.
// `npm run simulate -- --from 1 --count 1000`: many; goes on after a failure and lists the failures at the end.
const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    from: { type: 'string', default: '1' },
    count: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    'stop-at-failure': { type: 'boolean', default: false },
  },
});
const from = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.count) : 1;
// Most errors are simulated ones, and nobody reads the stacks of many seeds.
if (count > 1) Error.stackTraceLimit = 0;
const failures: number[] = [];
const totals: Record<string, number> = {};
const started = performance.now();
let reported = started;
let done = 0;

for (let seed = from; seed < from + count; seed++) {
  try {
    const report = await simulateSeed(seed, values.trace ? (line) => console.log(line) : undefined);
    for (const [name, value] of Object.entries(countsOf(report))) totals[name] = (totals[name] ?? 0) + value;
    if (count === 1) console.log(report);
  } catch (error) {
    failures.push(seed);
    console.log(count === 1 ? error : `seed ${seed}: ${toError(error).message}`);
    if (values['stop-at-failure']) break;
  }
  done += 1;
  if (count > 1 && performance.now() - reported > 20_000) {
    reported = performance.now();
    console.log(`${done} of ${count} seeds, ${failures.length} failed, ${speed()} per second`);
  }
}
if (count > 1) console.log({ ...totals, seeds: done, seedsPerSecond: speed() });
if (failures.length > 0) {
  console.error(`${failures.length} seeds failed: ${failures.join(' ')}`);
  console.error(`Replay: npm run simulate -- --seed ${failures[0]} --trace`);
  process.exitCode = 1;
}

function speed(): number {
  return Math.round((done / (performance.now() - started)) * 10_000) / 10;
}
