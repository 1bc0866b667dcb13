import { TidemarkError } from '../base/errors.ts';

/** @throws OPTION_INVALID unless the value is an integer of at least `min`. */
export function checkInteger(field: string, value: unknown, min: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= min) return value as number;
  throw new TidemarkError('OPTION_INVALID', `${field} must be an integer of at least ${min}, not ${show(value)}.`);
}

/** @throws OPTION_INVALID unless the value is a function. */
export function checkFunction(field: string, value: unknown): void {
  if (typeof value === 'function') return;
  throw new TidemarkError('OPTION_INVALID', `${field} must be a function, not ${show(value)}.`);
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}
