import { loadBench, type OutcomeMessage } from './run.ts';

// One benchmark in a process of its own, started by run.ts: its name and the rounds asked for, if any.
const [, , name = '', rounds = ''] = process.argv;
const bench = await loadBench(name);
const outcome = await bench.run({
  rounds: (byDefault) => (rounds === '' ? byDefault : Number(rounds)),
  progress: (line) => console.log(`  ${name}: ${line}`),
  keep: (soFar) => process.send?.({ outcome: soFar, isWhole: false } satisfies OutcomeMessage),
});
process.send?.({ outcome, isWhole: true } satisfies OutcomeMessage, undefined, undefined, () => process.exit(0));
