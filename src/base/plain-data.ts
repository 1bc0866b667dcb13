import { depthMax } from './data-path.ts';
import { classOf, refuseValue, type TypedArray, typedArrayKind, typedArrays } from './value-check.ts';

/**
 * A deep copy of a value of the universe the value codec stores (value-check.ts); primitives are returned as they are,
 * a Buffer becomes a Uint8Array, shared parts are copied once per place. @throws VALUE_UNSUPPORTED
 */
export function copyPlain<T>(value: T): T {
  return typeof value === 'object' && value !== null ? (copyObject(value, 0, value) as T) : (copyLeaf(value) as T);
}

function copyLeaf(value: unknown): unknown {
  if (typeof value === 'function' || typeof value === 'symbol') refuseValue(value);
  return value;
}

function copyObject(value: object, depth: number, root: unknown): unknown {
  if (depth >= depthMax) refuseValue(root);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) {
    const copy: Record<string, unknown> = {};
    const source = value as Record<string, unknown>;
    for (const name in source) {
      // Assigning __proto__ would set the prototype of the copy. The other reserved names are harmless here.
      if (name === '__proto__') refuseValue(root);
      copy[name] = copyPart(source[name], depth, root);
    }
    return copy;
  }
  if (prototype === Array.prototype && Array.isArray(value)) {
    const size = value.length;
    const copy: unknown[] = value.slice();
    // The slice keeps holes and is exact for primitives; only objects need another copy.
    for (let i = 0; i < size; i++) {
      const item = copy[i];
      if (typeof item === 'object' ? item !== null : typeof item === 'function' || typeof item === 'symbol') {
        copy[i] = copyPart(item, depth, root);
      }
    }
    return copy;
  }
  return copyRare(value, depth, root);
}

function copyPart(value: unknown, depth: number, root: unknown): unknown {
  if (typeof value === 'object') return value === null ? null : copyObject(value, depth + 1, root);
  if (typeof value === 'function' || typeof value === 'symbol') refuseValue(root);
  return value;
}

function copyRare(value: object, depth: number, root: unknown): unknown {
  switch (classOf(value)) {
    case 'map': {
      const copy = new Map<unknown, unknown>();
      for (const [key, item] of value as Map<unknown, unknown>) {
        copy.set(copyPart(key, depth, root), copyPart(item, depth, root));
      }
      return copy;
    }
    case 'set': {
      const copy = new Set<unknown>();
      for (const item of value as Set<unknown>) copy.add(copyPart(item, depth, root));
      return copy;
    }
    case 'date':
      return new Date((value as Date).getTime());
    case 'buffer':
      return (value as ArrayBuffer).slice(0);
    case 'typed':
      return new typedArrays[typedArrayKind(value)]!(new Uint8Array(bytesOf(value as TypedArray)).buffer);
    default:
      return refuseValue(root);
  }
}

/**
 * Deep equality by value, as the codec would see it: -0 differs from 0, NaN equals NaN, a hole differs from undefined,
 * Maps and Sets compare in order, properties of objects in any order. Values outside the universe are equal only when identical.
 */
export function equalPlain(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b);
  return a === b || equalObjects(a, b);
}

function equalObjects(a: object, b: object): boolean {
  const valueClass = classOf(a);
  if (valueClass === undefined || valueClass !== classOf(b)) return false;
  switch (valueClass) {
    case 'object':
      return equalProperties(a as Record<string, unknown>, b as Record<string, unknown>);
    case 'array':
      return equalArrays(a as readonly unknown[], b as readonly unknown[]);
    case 'map':
      return (
        (a as Map<unknown, unknown>).size === (b as Map<unknown, unknown>).size &&
        equalArrays([...flat(a)], [...flat(b)])
      );
    case 'set':
      return equalArrays([...(a as Set<unknown>)], [...(b as Set<unknown>)]);
    case 'date':
      return Object.is((a as Date).getTime(), (b as Date).getTime());
    case 'buffer':
      return Buffer.from(a as ArrayBuffer).equals(Buffer.from(b as ArrayBuffer));
    case 'typed':
      return typedArrayKind(a) === typedArrayKind(b) && bytesOf(a as TypedArray).equals(bytesOf(b as TypedArray));
  }
}

function* flat(map: object): Generator<unknown> {
  for (const [key, value] of map as Map<unknown, unknown>) {
    yield key;
    yield value;
  }
}

function equalProperties(a: Record<string, unknown>, b: Record<string, unknown>): boolean {
  let left = 0;
  for (const name in a) {
    left++;
    const value = b[name];
    if (!equalPlain(a[name], value) || (value === undefined && !Object.hasOwn(b, name))) return false;
  }
  for (const _ in b) left--;
  return left === 0;
}

function equalArrays(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (!equalPlain(a[i], b[i]) || (a[i] === undefined && i in a !== i in b)) return false;
  }
  return true;
}

function bytesOf(view: TypedArray): Buffer {
  return Buffer.from(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
}
