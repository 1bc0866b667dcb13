import { mix32 } from '../base/checksum.ts';

/** A fingerprint as plain data. */
export interface FingerprintRecord {
  readonly count: number;
  readonly sum: number;
  readonly mixedSum: number;
  readonly bySchema: readonly (readonly [schema: number, count: number])[];
}

/**
 * A commutative digest of a set of entries: it can be updated entry by entry, in any order, and does not depend on how
 * keys are spread over partitions. Detects lost, doubled and changed entries; it is no protection against forgery.
 *
 * It also counts the entries of every schema version, so that whoever knows the fingerprint knows which versions the
 * state holds without reading it.
 */
export class Fingerprint {
  #count = 0;
  #sum = 0;
  #mixedSum = 0;
  /** Entries of versions other than 1: there are none in most programs. */
  #bySchema: Map<number, number> | undefined;

  add(hash: number, schema = 1): void {
    this.#count += 1;
    this.#sum = (this.#sum + hash) >>> 0;
    this.#mixedSum = (this.#mixedSum + mix32(hash)) >>> 0;
    if (schema !== 1) this.#tally(schema, 1);
  }

  subtract(hash: number, schema = 1): void {
    this.#count -= 1;
    this.#sum = (this.#sum - hash) >>> 0;
    this.#mixedSum = (this.#mixedSum - mix32(hash)) >>> 0;
    if (schema !== 1) this.#tally(schema, -1);
  }

  addAll(other: Fingerprint): void {
    this.#count += other.#count;
    this.#sum = (this.#sum + other.#sum) >>> 0;
    this.#mixedSum = (this.#mixedSum + other.#mixedSum) >>> 0;
    for (const [schema, count] of other.#bySchema ?? []) this.#tally(schema, count);
  }

  clone(): Fingerprint {
    const copy = new Fingerprint();
    copy.addAll(this);
    return copy;
  }

  get record(): FingerprintRecord {
    return { count: this.#count, sum: this.#sum, mixedSum: this.#mixedSum, bySchema: [...(this.#bySchema ?? [])] };
  }

  static of({ count, sum, mixedSum, bySchema }: FingerprintRecord): Fingerprint {
    const fingerprint = new Fingerprint();
    fingerprint.#count = count;
    fingerprint.#sum = sum;
    fingerprint.#mixedSum = mixedSum;
    for (const [schema, entries] of bySchema) fingerprint.#tally(schema, entries);
    return fingerprint;
  }

  /** Number of entries. */
  get count(): number {
    return this.#count;
  }

  /** From the text of one whose entries all have this version; that text alone does not say how many of which there are. */
  static parse(text: string, schema: number): Fingerprint {
    const [count = '', digest = ''] = text.split('@')[0]!.split(':');
    const parsed = new Fingerprint();
    parsed.#count = Number(count);
    parsed.#sum = Number.parseInt(digest.slice(0, 8), 16);
    parsed.#mixedSum = Number.parseInt(digest.slice(8), 16);
    if (schema !== 1) parsed.#tally(schema, parsed.#count);
    return parsed;
  }

  /** `entries:digest`, and `@versions` when there are others than 1. */
  toString(): string {
    const digest = `${this.#count}:${hex(this.#sum)}${hex(this.#mixedSum)}`;
    if (this.#bySchema === undefined) return digest;
    const others = [...this.#bySchema].filter(([, count]) => count > 0);
    if (others.length === 0) return digest;
    const newer = others.reduce((sum, [, count]) => sum + count, 0);
    const schemas = others.map(([schema]) => schema).sort((a, b) => a - b);
    return `${digest}@${(newer < this.#count ? [1, ...schemas] : schemas).join(',')}`;
  }

  #tally(schema: number, change: number): void {
    this.#bySchema ??= new Map();
    this.#bySchema.set(schema, (this.#bySchema.get(schema) ?? 0) + change);
  }
}

/** The schema versions of the entries behind a fingerprint, ascending; none for an empty state. */
export function schemasOf(fingerprint: string): number[] {
  const at = fingerprint.indexOf('@');
  if (at >= 0)
    return fingerprint
      .slice(at + 1)
      .split(',')
      .map(Number);
  return fingerprint.startsWith('0:') ? [] : [1];
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
