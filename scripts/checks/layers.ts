import {
  listCodeFiles,
  type ModuleGraph,
  type ModuleImport,
  readModuleGraph,
  resolveImport,
  type SourceModule,
} from './module-graph.ts';

/**
 * Which room of src may import from which other rooms. A room is a folder of src, or a file directly in it.
 * `room` allows all of it, `types:room` only what is erased, `room/file.ts` only that file. Its own files are always allowed.
 */
export type LayerTable = Readonly<Record<string, readonly string[]>>;

const contracts = ['sources/source.ts', 'sinks/sink.ts'];
const engine = [
  'base',
  'observe',
  'storage',
  'checkpoint',
  'state',
  'rdd',
  'dstream',
  'sql',
  'sources',
  'sinks',
  'workers',
  'execution',
];

export const layers: LayerTable = {
  base: [],
  observe: ['base'],
  storage: ['base'],
  checkpoint: ['base', 'storage'],
  state: ['base', 'storage'],
  rdd: ['base', 'storage', 'checkpoint', 'state'],
  sources: ['base', 'storage', 'rdd'],
  sinks: ['base', 'storage', 'rdd'],
  dstream: ['base', 'storage', 'types:checkpoint', 'state', 'rdd', ...contracts],
  sql: ['base', 'storage', 'rdd', 'dstream'],
  workers: ['base', 'state', 'rdd', 'dstream', 'sources/source.ts'],
  execution: ['base', 'observe', 'storage', 'checkpoint', 'state', 'rdd', 'dstream', 'workers', ...contracts],
  inspect: ['base', 'storage', 'checkpoint', 'state'],
  operate: ['base', 'storage', 'checkpoint', 'state', 'inspect'],
  'spark-settings': ['base', 'execution'],
  'streaming-context': [...engine, 'spark-settings'],
  server: [...engine, 'inspect', 'operate', 'streaming-context'],
  ui: [...engine, 'inspect', 'operate', 'streaming-context'],
  testing: [...engine, 'inspect', 'operate', 'streaming-context', 'server', 'ui'],
  cli: [...engine, 'inspect', 'operate', 'streaming-context', 'server', 'ui', 'testing'],
  // Public entries: re-exports only.
  index: [...engine, 'streaming-context'],
  'checkpoint-tools': ['base', 'storage', 'inspect', 'operate'],
  'testing.ts': ['base', 'storage', 'testing'],
};

/** Packages that only certain files may touch, so that the technology can be exchanged in one place. */
const guardedPackages: readonly {
  readonly name: RegExp;
  readonly allowed: (path: string) => boolean;
  readonly rule: string;
}[] = [
  {
    name: /^@azure\//,
    allowed: (path) => isAzureFile(path),
    rule: 'only azure-*.ts files import an Azure SDK',
  },
  {
    name: /^rhea(?:-promise)?(?:\/|$)/,
    allowed: (path) => isAzureFile(path) || path.startsWith('testing/'),
    rule: 'only azure-*.ts files and testing/ import rhea',
  },
];

/** One sentence per violation; empty when all is well. */
export function checkLayers(
  folder: string,
  table: LayerTable = layers,
  graph: ModuleGraph = readModuleGraph(folder),
): string[] {
  const problems = graph.unread.map(({ path, reason }) => `${path}: not read: ${reason}`);
  const onDisk = listCodeFiles(folder);
  if (graph.modules.size < onDisk.length || onDisk.length === 0) {
    problems.push(
      `read ${graph.modules.size} modules, but ${folder} has ${onDisk.length}: what is not read is not checked`,
    );
  }
  for (const module of graph.modules.values()) {
    for (const found of module.imports) {
      const problem = checkImport(folder, table, module, found);
      if (problem !== undefined) problems.push(`${module.path}:${found.line}: ${problem}`);
    }
  }
  for (const cycle of findCycles(folder, graph)) problems.push(`import cycle: ${[...cycle, cycle[0]].join(' -> ')}`);
  return problems;
}

/** Groups of modules that load each other; `import type` and `import()` don't count, they don't run at load time. */
export function findCycles(folder: string, graph: ModuleGraph): string[][] {
  const cycles: string[][] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (name: string): void => {
    const at = path.indexOf(name);
    if (at !== -1) {
      cycles.push(path.slice(at));
      return;
    }
    if (done.has(name)) return;
    path.push(name);
    for (const found of graph.modules.get(name)?.imports ?? []) {
      if (found.kind !== 'value' || !found.specifier.startsWith('.')) continue;
      const target = resolveImport(folder, name, found.specifier);
      if (target !== undefined) visit(target);
    }
    path.pop();
    done.add(name);
  };
  for (const name of graph.modules.keys()) visit(name);
  return cycles;
}

function checkImport(folder: string, table: LayerTable, module: SourceModule, found: ModuleImport): string | undefined {
  if (!found.specifier.startsWith('.')) {
    const guard = guardedPackages.find(({ name }) => name.test(found.specifier));
    return guard && !guard.allowed(module.path) ? `imports ${found.specifier}: ${guard.rule}` : undefined;
  }
  const target = resolveImport(folder, module.path, found.specifier);
  if (target === undefined) return `imports ${found.specifier}, which does not exist`;
  if (target.startsWith('../')) return `imports ${found.specifier}, which is outside src`;
  const from = roomOf(module.path, table);
  const to = roomOf(target, table);
  const allowed = table[from];
  if (allowed === undefined) return `${from} is not in the layer table (scripts/checks/layers.ts)`;
  if (from === to || allowed.includes(to) || allowed.includes(target)) return undefined;
  if (allowed.includes(`types:${to}`)) {
    return found.kind === 'type'
      ? undefined
      : `${from} may import types from ${to} only (import type), imports ${found.specifier}`;
  }
  return `${from} may not import ${to} (${target}); it may import: ${allowed.join(', ') || 'nothing'}`;
}

/** A file directly in src that shares its name with a folder (testing.ts, testing/) is listed with its extension. */
function roomOf(path: string, table: LayerTable): string {
  const [first = ''] = path.split('/');
  if (path !== first) return first;
  return first in table ? first : first.replace(/\.ts$/, '');
}

function isAzureFile(path: string): boolean {
  return /(?:^|\/)azure-[^/]*\.ts$/.test(path);
}
