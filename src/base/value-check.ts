import { depthMax, describeKind, isForbiddenName, propertyPath } from './data-path.ts';
import { TidemarkError } from './errors.ts';

/**
 * The universe of values that can be stored and copied: undefined, null, booleans, numbers (all of them), bigints,
 * strings (ill-formed too), arrays (with holes), plain objects, Map, Set, Date, ArrayBuffer and typed arrays.
 * A plain object is its enumerable own string properties; its prototype is Object.prototype or null.
 */

export type TypedArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

type TypedArrayConstructor = new (buffer: ArrayBuffer) => TypedArray;

/** By number in the stored form: append only. Float16Array (Node 24) exists as soon as the runtime has it. */
export const typedArrays: readonly TypedArrayConstructor[] = [
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  ...('Float16Array' in globalThis
    ? [(globalThis as unknown as { Float16Array: TypedArrayConstructor }).Float16Array]
    : []),
];

/** Position in `typedArrays`, -1 for anything else. A Buffer counts as Uint8Array. */
export function typedArrayKind(value: object): number {
  if (!ArrayBuffer.isView(value)) return -1;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Buffer.prototype) return 0;
  return typedArrays.findIndex((type) => type.prototype === prototype);
}

export type ValueClass = 'array' | 'object' | 'map' | 'set' | 'date' | 'buffer' | 'typed' | undefined;

/** What kind of object of the universe this is; undefined: not one of them. Looks at the object itself, not into it. */
export function classOf(value: object): ValueClass {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return 'object';
  if (prototype === Array.prototype) return Array.isArray(value) ? 'array' : undefined;
  if (prototype === Map.prototype) return 'map';
  if (prototype === Set.prototype) return 'set';
  if (prototype === Date.prototype) return 'date';
  if (prototype === ArrayBuffer.prototype) return 'buffer';
  return typedArrayKind(value) >= 0 ? 'typed' : undefined;
}

/** Throws for a value outside the universe, naming the first part that is, e.g. `$.items[3].callback is a function`. */
export function refuseValue(root: unknown): never {
  const problem = findProblem(root, '$', 0, new Set()) ?? '$ is no plain data';
  throw new TidemarkError(
    'VALUE_UNSUPPORTED',
    `A value cannot be stored: ${problem}. Store plain data: primitives, arrays, plain objects, Map, Set, Date, typed arrays.`,
  );
}

function findProblem(value: unknown, path: string, depth: number, above: Set<unknown>): string | undefined {
  if (typeof value === 'function' || typeof value === 'symbol') return `${path} is ${describeKind(value)}`;
  if (typeof value !== 'object' || value === null) return undefined;
  if (above.has(value)) return `${path} refers back to a value it is part of (a cycle)`;
  if (depth >= depthMax) return `${path} is nested deeper than ${depthMax}`;
  const valueClass = classOf(value);
  if (valueClass === undefined) return `${path} is ${describeKind(value)}`;
  above.add(value);
  for (const [partPath, part] of partsOf(value, valueClass, path)) {
    const problem = typeof part === 'string' && partPath === '' ? part : findProblem(part, partPath, depth + 1, above);
    if (problem !== undefined) return problem;
  }
  above.delete(value);
  return undefined;
}

/** The parts of a container with their paths; a part with an empty path is a problem of the container itself. */
function* partsOf(value: object, valueClass: ValueClass, path: string): Generator<readonly [string, unknown]> {
  if (valueClass === 'array') {
    const items = value as readonly unknown[];
    for (let i = 0; i < items.length; i++) yield [`${path}[${i}]`, items[i]];
  } else if (valueClass === 'map') {
    for (const [key, item] of value as Map<unknown, unknown>) {
      const label = typeof key === 'string' ? JSON.stringify(key) : typeof key === 'object' ? 'object' : String(key);
      yield [`${path}<key ${label}>`, key];
      yield [`${path}<value of ${label}>`, item];
    }
  } else if (valueClass === 'set') {
    let i = 0;
    for (const item of value as Set<unknown>) yield [`${path}<item ${i++}>`, item];
  } else if (valueClass === 'object') {
    if (Object.getOwnPropertySymbols(value).length > 0) yield ['', `${path} has a property named by a symbol`];
    for (const name of Object.keys(value)) {
      if (isForbiddenName(name)) yield ['', `${path} has a property named ${name}`];
      const property = Object.getOwnPropertyDescriptor(value, name);
      if (property !== undefined && !('value' in property)) {
        yield ['', `${propertyPath(path, name)} is an accessor property`];
      }
      yield [propertyPath(path, name), property?.value];
    }
  }
}
