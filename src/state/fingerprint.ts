import { mix32 } from '../base/checksum.ts';

/**
 * A commutative digest of a set of entries: it can be updated entry by entry, in any order, and does not depend on how
 * keys are spread over partitions. Detects lost, doubled and changed entries; it is no protection against forgery.
 */
export class Fingerprint {
  #count = 0;
  #sum = 0;
  #mixedSum = 0;

  add(hash: number): void {
    this.#count += 1;
    this.#sum = (this.#sum + hash) >>> 0;
    this.#mixedSum = (this.#mixedSum + mix32(hash)) >>> 0;
  }

  subtract(hash: number): void {
    this.#count -= 1;
    this.#sum = (this.#sum - hash) >>> 0;
    this.#mixedSum = (this.#mixedSum - mix32(hash)) >>> 0;
  }

  addAll(other: Fingerprint): void {
    this.#count += other.#count;
    this.#sum = (this.#sum + other.#sum) >>> 0;
    this.#mixedSum = (this.#mixedSum + other.#mixedSum) >>> 0;
  }

  clone(): Fingerprint {
    const copy = new Fingerprint();
    copy.addAll(this);
    return copy;
  }

  /** Number of entries. */
  get count(): number {
    return this.#count;
  }

  toString(): string {
    return `${this.#count}:${hex(this.#sum)}${hex(this.#mixedSum)}`;
  }
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
