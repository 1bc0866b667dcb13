import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot, tool } from './steps.ts';

// JavaScript and declarations into dist/, from scratch: what was removed from src must not be published.
rmSync(join(projectRoot, 'dist'), { recursive: true, force: true });
const good = await tool('tsc', ['-p', 'tsconfig.build.json']);
if (good) chmodSync(join(projectRoot, 'dist', 'cli', 'main.js'), 0o755);
process.exitCode = good ? 0 : 1;
