import { pathToFileURL } from 'node:url';
import type { Bench } from '../bench/bench.ts';
import { formatTable } from '../src/cli/table.ts';

// One benchmark in a process of its own, started by bench.ts.
const { bench } = (await import(pathToFileURL(process.argv[2] ?? '').href)) as { bench: Bench };
console.log(`\n# ${bench.title}\n${bench.measures}`);
for (const { rows, title } of await bench.run()) console.log(`\n${title}\n${formatTable(rows).join('\n')}`);
process.exit(0);
