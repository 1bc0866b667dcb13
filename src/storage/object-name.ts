import { TidemarkError } from '../base/errors.ts';

const charactersMax = 900;
const segmentsMax = 200;
// Control characters, what XML and URLs cannot carry, and the backslash, which parts of Azure turn into a slash.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this finds.
const forbidden = /[\u0000-\u001f\u007f-\u009f\ufffe\uffff\\]/;

/** Folder in which the file store keeps its own files; no object may live in one. */
export const internalFolder = '.tidemark-store';

/**
 * Checks a name against the strictest of the stores, so that what works on a laptop works on Azure.
 *
 * @throws TidemarkError OPTION_INVALID
 */
export function validateObjectName(name: string): void {
  const problem = findProblem(name);
  if (problem === undefined) return;
  throw new TidemarkError('OPTION_INVALID', `The object name ${JSON.stringify(name)} is not allowed: ${problem}.`, {
    context: { name },
  });
}

/** What is wrong with the name, or undefined. Also serves the path of a store URL. */
export function findProblem(name: string): string | undefined {
  if (name.length === 0) return 'it is empty';
  if (name.length > charactersMax) return `it has ${name.length} characters, at most ${charactersMax} are`;
  if (!name.isWellFormed()) return 'it holds half of a surrogate pair';
  if (forbidden.test(name)) return 'it holds a backslash or a control character';
  const segments = name.split('/');
  if (segments.length > segmentsMax) return `it has ${segments.length} segments, at most ${segmentsMax} are`;
  for (const segment of segments) {
    if (segment === '') return 'a segment between two slashes is empty';
    if (segment.endsWith('.')) return `the segment "${segment}" ends with a dot`;
    if (segment === internalFolder) return `the segment "${internalFolder}" is reserved`;
  }
  return undefined;
}

/** A prefix is any beginning of a name: also empty, also ending within a segment or with a slash. */
export function validatePrefix(prefix: string): void {
  if (prefix === '') return;
  validateObjectName(prefix.endsWith('/') || prefix.endsWith('.') ? `${prefix}x` : prefix);
}

const commitIdForm = /^[0-9a-f]{32}$/;

/** @throws TidemarkError OPTION_INVALID */
export function validateCommitId(commitId: string): void {
  if (commitIdForm.test(commitId)) return;
  throw new TidemarkError('OPTION_INVALID', `A commit id is 32 lower-case hexadecimal digits, not "${commitId}".`);
}

/** @throws TidemarkError OPTION_INVALID */
export function validateRange(range: { readonly offset: number; readonly length: number } | undefined): void {
  if (range === undefined) return;
  const { offset, length } = range;
  if (Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length >= 0) return;
  throw new TidemarkError(
    'OPTION_INVALID',
    `A byte range has a whole offset and length from 0, not offset ${offset} and length ${length}.`,
  );
}
