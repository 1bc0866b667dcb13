import { join } from 'node:path';
import { checkLayers } from './checks/layers.ts';
import { readModuleGraph } from './checks/module-graph.ts';
import { projectRoot } from './steps.ts';

const folder = join(projectRoot, 'src');
const graph = readModuleGraph(folder);
const problems = checkLayers(folder, undefined, graph);
for (const problem of problems) console.error(problem);
console.log(`layers: ${graph.modules.size} modules read, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
