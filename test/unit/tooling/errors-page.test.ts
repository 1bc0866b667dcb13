import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { errorsPage, readErrorsPage } from '../../../scripts/docs-errors.ts';
import { projectRoot } from '../../../scripts/steps.ts';
import { errorCodes } from '../../../src/base/error-codes.ts';

test('docs/errors.md lists the codes as they are; npm run format writes it', () => {
  expect(readErrorsPage()).toBe(errorsPage());
});

test('every error code is thrown somewhere', () => {
  const src = join(projectRoot, 'src');
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const text = files
    .filter((name) => !name.endsWith('error-codes.ts'))
    .map((name) => readFileSync(join(src, name), 'utf8'))
    .join('\n');
  expect(Object.keys(errorCodes).filter((code) => !text.includes(`'${code}'`))).toEqual([]);
});
