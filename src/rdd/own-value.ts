import { depthMax } from '../base/data-path.ts';

/**
 * A value that a reduce function may change: plain objects, arrays, Maps, Sets and Dates are copied in depth, anything else
 * (class instances, buffers) is shared.
 *
 * Rows travel by reference, and the same row may be read again: by a retry, by another action, by another operator. A reduce
 * function that adds to its first argument and returns it is common and right in Spark, where every task has rows of
 * its own; here the first argument of the first call is such a copy.
 */
export function ownValue<T>(value: T): T {
  return typeof value === 'object' && value !== null ? (ownObject(value, 0) as T) : value;
}

function ownObject(value: object, depth: number): unknown {
  if (depth > depthMax) return value;
  const own = (part: unknown): unknown =>
    typeof part === 'object' && part !== null ? ownObject(part, depth + 1) : part;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) {
    const copy: Record<string, unknown> = { ...value };
    for (const name in copy) {
      const part = copy[name];
      if (typeof part === 'object' && part !== null) copy[name] = ownObject(part, depth + 1);
    }
    return copy;
  }
  if (prototype === Array.prototype) return (value as unknown[]).map(own);
  if (prototype === Map.prototype) return new Map(Array.from(value as Map<unknown, unknown>, ([k, v]) => [k, own(v)]));
  if (prototype === Set.prototype) return new Set(value as Set<unknown>);
  if (prototype === Date.prototype) return new Date((value as Date).getTime());
  return value;
}
