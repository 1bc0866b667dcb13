import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCodes } from '../src/base/error-codes.ts';
import { projectRoot } from './steps.ts';

const file = join(projectRoot, 'docs', 'errors.md');

/** The page of all error codes, from the table in the code. */
export function errorsPage(): string {
  const rows = Object.entries(errorCodes).map(
    ([code, { kind, meaning, action }]) => `| \`${code}\` | ${kind} | ${meaning} | ${action} |`,
  );
  return `# Error codes

Every failure is a \`TidemarkError\` with a \`code\`, a \`kind\`, a \`context\` with ids, and the original failure as \`cause\`.
This page is written by \`npm run format\` from \`src/base/error-codes.ts\`.

| kind | what a program should do |
|---|---|
| invalid | correct the call or the configuration |
| unavailable | start again later; nothing is lost |
| fenced | stop: another driver has taken over |
| corrupt | stop and repair: a stored object is damaged |
| incompatible | correct the program, or give up state explicitly |
| data_loss | decide what should happen: records are gone at the source |
| user | correct the function that threw |
| limit | raise the bound or make the thing smaller |
| cancelled | nothing |
| internal | report a bug |

| code | kind | what happened | what to do |
|---|---|---|---|
${rows.join('\n')}
`;
}

export function readErrorsPage(): string {
  return readFileSync(file, 'utf8');
}

export function writeErrorsPage(): void {
  writeFileSync(file, errorsPage());
}
