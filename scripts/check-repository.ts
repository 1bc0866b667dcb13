import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkCrashMatrix } from './checks/crash-matrix.ts';
import { checkRepository, type RepositoryFile } from './checks/repository-rules.ts';
import { projectRoot } from './steps.ts';

// Also what is new and not ignored: the finding should come before the commit.
const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
  cwd: projectRoot,
  encoding: 'utf8',
});
const files: RepositoryFile[] = [];
for (const path of listed.split('\0')) {
  if (path === '' || !existsSync(join(projectRoot, path))) continue;
  const bytes = readFileSync(join(projectRoot, path));
  // Binary fixtures hold no text to look at.
  if (!bytes.includes(0)) files.push({ path, text: bytes.toString('utf8') });
}
const problems = [...checkRepository(files, (path) => existsSync(join(projectRoot, path))), ...checkCrashMatrix(files)];
if (files.length === 0) problems.push('no file was read: is this a git checkout?');
for (const problem of problems) console.error(problem);
console.log(`repository: ${files.length} files read, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
