import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from '../../../scripts/steps.ts';

const readme = readFileSync(join(projectRoot, 'README.md'), 'utf8');

test('the program in README.md is the one the compiler checks', () => {
  const program = readFileSync(join(projectRoot, 'test', 'types', 'readme-program.ts'), 'utf8');
  const [, ...lines] = program.replace("'../../src/index.ts'", "'tidemark'").trimEnd().split('\n');
  expect(readme).toContain(`\`\`\`ts\n${lines.join('\n')}\n\`\`\``);
  expect(lines.length).toBeLessThanOrEqual(25);
});

test('README.md lists every page of docs/', () => {
  const pages = readdirSync(join(projectRoot, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.md'),
  );
  expect(pages.filter((page) => !readme.includes(`docs/${page}`))).toEqual([]);
});
