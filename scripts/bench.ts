import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from './steps.ts';

// `npm run bench -- [name ...]`: every bench/<name>.bench.ts, or those named, one after the other.
const names = readdirSync(join(projectRoot, 'bench'))
  .filter((file) => file.endsWith('.bench.ts'))
  .map((file) => file.slice(0, -'.bench.ts'.length))
  .sort();
const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !names.includes(name));
if (unknown !== undefined || names.length === 0) {
  const known = names.length === 0 ? 'There is none yet in bench/.' : `There are: ${names.join(', ')}.`;
  console.error(unknown === undefined ? known : `There is no benchmark "${unknown}". ${known}`);
  process.exit(2);
}
console.log(
  `Node ${process.version}, ${availableParallelism()} x ${cpus()[0]?.model.trim() ?? process.arch}, ${process.platform}`,
);
let failed = false;
for (const name of wanted.length > 0 ? wanted : names) {
  const file = join(projectRoot, 'bench', `${name}.bench.ts`);
  const run = spawnSync(
    process.execPath,
    ['--expose-gc', '--max-old-space-size=8192', join(projectRoot, 'scripts', 'bench-one.ts'), file],
    {
      stdio: 'inherit',
    },
  );
  if (run.status !== 0) {
    console.error(`benchmark ${name} failed (${run.signal ?? `exit code ${run.status}`})`);
    failed = true;
  }
}
process.exitCode = failed ? 1 : 0;
