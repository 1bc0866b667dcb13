/** What the explorer needs to know of a system: where it begins, what can happen next, and what it is made of. */
export interface Model<W> {
  readonly initial: W;
  /** Names every step that is possible in `world`. A step with a violation ends the search. */
  next(world: W, emit: (step: string, after: W, violation?: string | undefined) => void): void;
  /** The parts of a world: always the same number. Steps share the parts they don't change. */
  partsOf(world: W): readonly object[];
  fromParts(parts: readonly object[]): W;
}

export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** Of the longest shortest path: how far the search went. */
  readonly depth: number;
  /** False: `statesMax` was reached first, so that nothing is proven. */
  readonly exhausted: boolean;
  readonly violation: { readonly what: string; readonly steps: readonly string[] } | undefined;
}

/**
 * Visits every reachable world once, nearest first: a violation comes with one of its shortest traces.
 *
 * A world is kept as one number per part. Equal parts share a number, so a world costs a few words however large its
 * parts are, and two worlds are equal exactly when their numbers are.
 */
export function explore<W>(model: Model<W>, statesMax: number): Exploration {
  const parts = new Parts();
  const first = model.partsOf(model.initial);
  const seen = new WorldSet(first.length);
  const numbers = new Uint32Array(first.length);
  const numbersOf = (world: W): Uint32Array => {
    const list = model.partsOf(world);
    for (let index = 0; index < list.length; index++) numbers[index] = parts.numberOf(list[index]!);
    return numbers;
  };
  const worldAt = (index: number): W =>
    model.fromParts(Array.from(seen.wordsOf(index), (number) => parts.partOf(number)));
  seen.add(numbersOf(model.initial), -1);
  let transitions = 0;
  let levelEnd = 1;
  let depth = 0;
  let violation: { what: string; step: string; before: number } | undefined;
  for (let index = 0; index < seen.size && violation === undefined; index++) {
    if (index === levelEnd) {
      levelEnd = seen.size;
      depth += 1;
    }
    if (seen.size > statesMax) return { states: seen.size, transitions, depth, exhausted: false, violation: undefined };
    model.next(worldAt(index), (step, after, what) => {
      transitions += 1;
      if (what !== undefined) violation ??= { what, step, before: index };
      else if (violation === undefined) seen.add(numbersOf(after), index);
    });
  }
  const found = violation && { what: violation.what, steps: [...pathTo(violation.before), violation.step] };
  return { states: seen.size, transitions, depth, exhausted: violation === undefined, violation: found };

  /** Names of steps aren't kept: they are asked for again, for the few worlds on the way. */
  function pathTo(target: number): string[] {
    const steps: string[] = [];
    for (let child = target; seen.parentOf(child) !== -1; child = seen.parentOf(child)) {
      const wanted = seen.wordsOf(child).join();
      let found: string | undefined;
      model.next(worldAt(seen.parentOf(child)), (step, after, what) => {
        if (what === undefined && numbersOf(after).join() === wanted) found ??= step;
      });
      steps.push(found ?? '?');
    }
    return steps.reverse();
  }
}

/** Gives equal parts the same number. */
class Parts {
  readonly #numbers = new Map<string, number>();
  readonly #known = new Map<object, number>();
  readonly #parts: object[] = [];

  numberOf(part: object): number {
    const known = this.#known.get(part);
    if (known !== undefined) return known;
    const text = JSON.stringify(part);
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.#parts.push(part) - 1;
      this.#numbers.set(text, number);
      this.#known.set(part, number);
    }
    return number;
  }

  partOf(number: number): object {
    return this.#parts[number]!;
  }
}

/** A set of rows of `width` words in the order they were added, each with the row it was reached from. */
class WorldSet {
  readonly #width: number;
  #rows: Uint32Array;
  #parents: Int32Array;
  #slots: Int32Array;
  size = 0;

  constructor(width: number) {
    this.#width = width;
    this.#rows = new Uint32Array(width * 1024);
    this.#parents = new Int32Array(1024);
    this.#slots = new Int32Array(4096).fill(-1);
  }

  add(row: Uint32Array, parent: number): void {
    const slot = this.#slotOf(row);
    if (this.#slots[slot] !== -1) return;
    if (this.size === this.#parents.length) this.#grow();
    this.#rows.set(row, this.size * this.#width);
    this.#parents[this.size] = parent;
    this.#slots[this.#slotOf(row)] = this.size++;
  }

  parentOf(index: number): number {
    return this.#parents[index]!;
  }

  wordsOf(index: number): Uint32Array {
    return this.#rows.subarray(index * this.#width, (index + 1) * this.#width);
  }

  #slotOf(row: Uint32Array): number {
    const mask = this.#slots.length - 1;
    let hash = 0x811c9dc5;
    for (const word of row) {
      hash = Math.imul(hash ^ word, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const index = this.#slots[slot]!;
      if (index === -1 || this.#equals(index, row)) return slot;
    }
  }

  #equals(index: number, row: Uint32Array): boolean {
    const start = index * this.#width;
    for (let word = 0; word < this.#width; word++) if (this.#rows[start + word] !== row[word]) return false;
    return true;
  }

  #grow(): void {
    const rows = new Uint32Array(this.#rows.length * 2);
    rows.set(this.#rows);
    this.#rows = rows;
    const parents = new Int32Array(this.#parents.length * 2);
    parents.set(this.#parents);
    this.#parents = parents;
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1);
    for (let index = 0; index < this.size; index++) this.#slots[this.#slotOf(this.wordsOf(index))] = index;
  }
}
