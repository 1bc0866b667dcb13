import { join } from 'node:path';
import { buildPackage } from './build-package.ts';
import { projectRoot } from './steps.ts';

process.exitCode = (await buildPackage(join(projectRoot, 'dist'))) ? 0 : 1;
