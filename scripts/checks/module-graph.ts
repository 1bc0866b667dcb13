import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, posix, relative, sep } from 'node:path';
import { parseSync, Visitor } from 'oxc-parser';

/** `value`: runs when the module loads; `type`: erased; `dynamic`: `import()`, or a `new URL` of a worker's module. */
export type ImportKind = 'value' | 'type' | 'dynamic';

export interface ModuleImport {
  readonly specifier: string;
  readonly kind: ImportKind;
  readonly line: number;
}

export interface SourceModule {
  /** Relative to the folder that was read, with `/`. */
  readonly path: string;
  readonly imports: readonly ModuleImport[];
}

export interface ModuleGraph {
  readonly modules: ReadonlyMap<string, SourceModule>;
  /** Files that hold code but could not be read as a module, with the reason. */
  readonly unread: readonly { readonly path: string; readonly reason: string }[];
}

const codeExtensions = new Set(['.ts', '.mts', '.cts', '.tsx', '.js', '.mjs', '.cjs', '.jsx']);

/** Every file below `folder` that holds code, whatever its extension. */
export function listCodeFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && codeExtensions.has(extname(entry.name)))
    .map((entry) => relative(folder, `${entry.parentPath}${sep}${entry.name}`).split(sep).join('/'))
    .sort();
}

/**
 * Parses all modules below `folder`. Nothing is passed over in silence: what is not a readable TypeScript module is in
 * `unread`. (A checker that reads nothing finds no violation either.)
 */
export function readModuleGraph(folder: string): ModuleGraph {
  const modules = new Map<string, SourceModule>();
  const unread: { path: string; reason: string }[] = [];
  for (const path of listCodeFiles(folder)) {
    if (extname(path) !== '.ts') {
      unread.push({ path, reason: 'only .ts files are read' });
      continue;
    }
    const text = readFileSync(`${folder}/${path}`, 'utf8');
    const parsed = parseSync(path, text);
    const error = parsed.errors[0];
    if (error) unread.push({ path, reason: error.message });
    else modules.set(path, { path, imports: importsOf(text, parsed) });
  }
  return { modules, unread };
}

/** Of a relative specifier: the path in the graph's terms, or undefined when no such file exists. */
export function resolveImport(folder: string, from: string, specifier: string): string | undefined {
  const target = posix.join(posix.dirname(from), specifier);
  return existsSync(`${folder}/${target}`) ? target : undefined;
}

function importsOf(text: string, parsed: ReturnType<typeof parseSync>): ModuleImport[] {
  const imports: ModuleImport[] = [];
  const add = (specifier: string, start: number, kind: ImportKind): void => {
    imports.push({ specifier, kind, line: lineOf(text, start) });
  };
  // `import { type A } from` still loads the module at run time (verbatimModuleSyntax): only a leading `type` erases it.
  const kindAt = (start: number): ImportKind =>
    /^(?:import|export)\s+type\b(?!\s*(?:,|from\b))/.test(text.slice(start)) ? 'type' : 'value';
  for (const found of parsed.module.staticImports) add(found.moduleRequest.value, found.start, kindAt(found.start));
  for (const found of parsed.module.staticExports) {
    const request = found.entries.find((entry) => entry.moduleRequest)?.moduleRequest;
    if (request) add(request.value, found.start, kindAt(found.start));
  }
  new Visitor({
    TSImportType: (node) => add(node.source.value, node.start, 'type'),
    ImportExpression: (node) => {
      if (node.source.type === 'Literal' && typeof node.source.value === 'string')
        add(node.source.value, node.start, 'dynamic');
    },
    NewExpression: (node) => {
      const [target] = node.arguments;
      if (node.callee.type !== 'Identifier' || node.callee.name !== 'URL' || target?.type !== 'Literal') return;
      if (typeof target.value === 'string' && /^\.{1,2}\/.*\.[mc]?ts$/.test(target.value))
        add(target.value, node.start, 'dynamic');
    },
  }).visit(parsed.program);
  return imports;
}

function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line += 1;
  return line;
}
