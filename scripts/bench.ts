import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { closingLine, closingRows } from '../bench/closing-table.ts';
import { writeReport } from '../bench/report/write-report.ts';
import { type BenchResult, benchNames, loadBench, machine, runBench } from '../bench/run.ts';
import { formatTable } from '../src/cli/table.ts';
import { projectRoot } from './steps.ts';

const usage = `usage: npm run bench -- [name ...] [--rounds N] [--json FILE]
       npm run bench -- --list
       npm run bench -- --report FILE`;

const { positionals: wanted, values } = readArguments();
const names = benchNames();
const unknown = wanted.find((name) => !names.includes(name));
if (unknown !== undefined) stop(`There is no benchmark "${unknown}". There are: ${names.join(', ')}.`);
const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= 1000)) {
  stop(`--rounds ${values.rounds}: give a whole number from 1 to 1000.`);
}
if (values.list) await list();
else if (values.report !== undefined) report(values.report);
else await runAll();

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        list: { type: 'boolean' },
        rounds: { type: 'string' },
        json: { type: 'string' },
        report: { type: 'string' },
      },
    });
  } catch (error) {
    return stop(`${(error as Error).message}\n${usage}`);
  }
}

function stop(text: string): never {
  console.error(text);
  process.exit(2);
}

function report(file: string): void {
  for (const path of writeReport(resolve(file))) console.log(path);
}

async function list(): Promise<void> {
  for (const name of names) {
    const { title, isByHand } = await loadBench(name);
    console.log(`${name.padEnd(14)}${title}${isByHand ? ' (only when named)' : ''}`);
  }
}

/** Those named, otherwise all that are not run by hand, one after the other: each has the machine to itself. */
async function runAll(): Promise<void> {
  const startedAt = new Date().toISOString();
  const here = machine();
  console.log(`Node ${here.node}, ${here.cores} x ${here.cpu}, ${here.memoryGiB} GiB, ${here.platform}`);
  const benches: BenchResult[] = [];
  // Written after each, so that what was measured survives whatever happens to the next.
  const file = resolve(values.json ?? join(projectRoot, '.local', 'bench', `${startedAt.slice(0, 19)}.json`));
  mkdirSync(dirname(file), { recursive: true });
  for (const name of wanted.length > 0 ? wanted : names) {
    const result = await runOne(name);
    if (result === undefined) continue;
    benches.push(result);
    writeFileSync(file, `${JSON.stringify({ startedAt, machine: here, benches }, undefined, 2)}\n`);
  }
  console.log(`\n# All of it\nA ratio is how many times better than the peer: more is better.\n`);
  console.log(formatTable(closingRows(benches)).join('\n'));
  console.log(`\n${closingLine(benches)}\nfigures in ${file}`);
  process.exitCode = benches.some(({ failure }) => failure !== undefined) ? 1 : 0;
}

/** Nothing if it only runs when it is named. */
async function runOne(name: string): Promise<BenchResult | undefined> {
  try {
    const bench = await loadBench(name);
    return bench.isByHand && wanted.length === 0 ? undefined : await runBench(name, bench, rounds);
  } catch (error) {
    const failure = `it can't be loaded: ${(error as Error).message}`;
    console.error(`benchmark ${name} failed: ${failure}`);
    return { name, title: name, measures: '', tookS: 0, tables: [], rows: [], failure };
  }
}
