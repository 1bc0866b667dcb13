import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** What the first worker thread of a test file has compiled, the others need not. Their modules call `flushCompileCache`. */
export function shareCompiledCode(): void {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-compiled-'));
  const before = process.env.NODE_COMPILE_CACHE;
  process.env.NODE_COMPILE_CACHE = folder;
  afterAll(() => {
    if (before === undefined) delete process.env.NODE_COMPILE_CACHE;
    else process.env.NODE_COMPILE_CACHE = before;
    rmSync(folder, { recursive: true, force: true });
  });
}
