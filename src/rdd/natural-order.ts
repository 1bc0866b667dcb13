import { TidemarkError } from '../base/errors.ts';

/**
 * Ascending order of numbers (NaN last), bigints, strings (by UTF-16 code unit), booleans and Dates, and of arrays of
 * them, item by item. null and undefined come first. @throws OPTION_INVALID for anything else, or mixed types.
 */
export function naturalOrder(a: unknown, b: unknown): number {
  if (Object.is(a, b)) return 0;
  if (a === null || a === undefined || b === null || b === undefined) return rank(a) - rank(b);
  if (typeof a === 'number' && typeof b === 'number') {
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return a - b || 0;
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    const size = Math.min(a.length, b.length);
    for (let i = 0; i < size; i++) {
      const order = naturalOrder(a[i], b[i]);
      if (order !== 0) return order;
    }
    return a.length - b.length;
  }
  if (a instanceof Date && b instanceof Date) return naturalOrder(a.getTime(), b.getTime());
  if (typeof a === typeof b && ['string', 'bigint', 'boolean'].includes(typeof a)) return a < b ? -1 : a > b ? 1 : 0;
  throw new TidemarkError(
    'OPTION_INVALID',
    `There is no natural order between a ${kindOf(a)} and a ${kindOf(b)}: pass a compare function.`,
  );
}

function rank(value: unknown): number {
  return value === undefined ? 0 : value === null ? 1 : 2;
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'array' : value instanceof Date ? 'Date' : typeof value;
}
