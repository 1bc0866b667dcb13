import { types } from 'node:util';

/** Deeper values are refused, keys and values alike: recursion over them must never reach the end of the stack. */
export const depthMax = 100;

/**
 * True for property names that could reach a prototype when a decoded object is merged into another one. They have no
 * place in stored data.
 */
export function isForbiddenName(name: string): boolean {
  // The lengths sort out nearly every name before a string comparison.
  const size = name.length;
  return (size === 9 && (name === '__proto__' || name === 'prototype')) || (size === 11 && name === 'constructor');
}

/** `$.items` -> `$.items.name`, or `$.items["odd name"]`. */
export function propertyPath(path: string, name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
}

/** What a value is, for messages: "a function", "an instance of Money". */
export function describeKind(value: unknown): string {
  if (value === null) return 'null';
  if (value === undefined) return 'undefined';
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value !== 'object') return `a ${typeof value}`;
  if (types.isProxy(value)) return 'a proxy';
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  return typeof name === 'string' && name !== '' ? `an instance of ${name}` : 'an instance of a class';
}
