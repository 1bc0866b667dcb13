import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const tests = fileURLToPath(new URL('../../', import.meta.url));
const ownFolder = join(tests, 'conformance');
const testName = /\b(?:test|it)(?:\.\w+)*\(\s*(['"`])(.*?)\1/g;

/** Names of all tests outside this folder. */
function readNames(): string[] {
  const names: string[] = [];
  for (const entry of readdirSync(tests, { recursive: true, withFileTypes: true })) {
    if (!entry.name.endsWith('.test.ts') || entry.parentPath.startsWith(ownFolder)) continue;
    const source = readFileSync(join(entry.parentPath, entry.name), 'utf8');
    for (const [, , name] of source.matchAll(testName)) names.push(name!);
  }
  return names;
}

let names: readonly string[] | undefined;

/** True when a test of another suite begins its name with the id of the case: `<id>: what it shows`. */
export function hasNamedTest(id: string): boolean {
  names ??= readNames();
  return names.some((name) => name.startsWith(`${id}:`));
}
