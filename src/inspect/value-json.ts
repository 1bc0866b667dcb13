import { TidemarkError, toError } from '../base/errors.ts';

/**
 * Keys and values as JSON and back. What JSON can't carry is an object with one property that begins with `$`; an
 * object of the data that looks like one is wrapped in `$object`.
 */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

export function toJson(value: unknown): Json {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $number: Object.is(value, -0) ? '-0' : `${value}` };
    case 'bigint':
      return { $bigint: value.toString() };
    case 'object':
      return value === null ? null : objectToJson(value);
    default:
      return { $undefined: true };
  }
}

function objectToJson(value: object): Json {
  if (Array.isArray(value)) return Array.from(value, toJson);
  if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? 'invalid' : value.toISOString() };
  if (value instanceof Map) return { $map: Array.from(value, ([key, item]) => [toJson(key), toJson(item)]) };
  if (value instanceof Set) return { $set: Array.from(value, toJson) };
  if (value instanceof ArrayBuffer) return { $bytes: Buffer.from(value).toString('base64') };
  if (ArrayBuffer.isView(value)) {
    const base64 = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
    return { $bytes: base64, $type: value.constructor.name };
  }
  const properties: Record<string, Json> = {};
  for (const [name, item] of Object.entries(value)) properties[name] = toJson(item);
  return Object.keys(properties).some((name) => name.startsWith('$')) ? { $object: properties } : properties;
}

/** A key as a person types it: JSON, with `{"$bigint":"5"}` and `{"$number":"NaN"}` where needed. @throws OPTION_INVALID */
export function parseKey(text: string): unknown {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `The key ${text} is no JSON (${toError(cause).message}). Give a string in quotes, such as '"sensor-1"', or 5, or '["a",1]'.`,
      { cause },
    );
  }
  return fromJson(json);
}

function fromJson(json: unknown): unknown {
  if (typeof json !== 'object' || json === null) return json;
  if (Array.isArray(json)) return json.map(fromJson);
  const entries = Object.entries(json);
  const [first] = entries;
  if (entries.length === 1 && first !== undefined) {
    const [name, value] = first;
    if (name === '$bigint' && /^-?\d+$/.test(String(value))) return BigInt(String(value));
    if (name === '$number' && /^(NaN|-?Infinity|-0)$/.test(String(value))) return Number(value);
    if (name === '$object' && typeof value === 'object' && value !== null) return properties(value);
  }
  return properties(json);
}

function properties(json: object): Record<string, unknown> {
  // fromEntries defines properties and never calls a setter, so `__proto__` stays a name, which keys then refuse.
  return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, fromJson(value)]));
}
