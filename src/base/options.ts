import { TidemarkError } from './errors.ts';

/** Refuses options nobody knows: a misspelt one must not silently be the default. @throws OPTION_INVALID */
export function requireKnownOptions(what: string, options: object, accepted: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (accepted.includes(name)) continue;
    throw new TidemarkError('OPTION_INVALID', `${what} has no option '${name}'. Accepted: ${accepted.join(', ')}.`, {
      context: { option: name },
    });
  }
}

/** @throws OPTION_INVALID */
export function positiveInteger(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new TidemarkError('OPTION_INVALID', `${name} is ${value}; give a whole number of at least 1.`);
}
