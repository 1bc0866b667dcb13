/**
 * The first rows of an order, of many that come one by one: a heap of the `count` best so far, the worst on top. Each row
 * costs one comparison, unless it is one of them. Of equal rows those that came first stay, as if all had been sorted.
 */
export class SmallestRows<T> {
  readonly #count: number;
  readonly #compare: (a: T, b: T) => number;
  readonly #heap: Ranked<T>[] = [];
  #rows = 0;

  constructor(count: number, compare: (a: T, b: T) => number) {
    this.#count = count;
    this.#compare = compare;
  }

  push(row: T): void {
    const heap = this.#heap;
    const place = this.#rows++;
    if (heap.length < this.#count) {
      heap.push({ row, place });
      this.#rise(heap.length - 1);
    } else if (this.#compare(row, heap[0]!.row) < 0) {
      heap[0] = { row, place };
      this.#sink();
    }
  }

  /** In the order of their arrival. */
  rows(): T[] {
    return this.#heap.sort((a, b) => a.place - b.place).map(({ row }) => row);
  }

  #isAfter(a: Ranked<T>, b: Ranked<T>): boolean {
    const order = this.#compare(a.row, b.row);
    return order > 0 || (order === 0 && a.place > b.place);
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const item = heap[from]!;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!this.#isAfter(item, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = item;
  }

  #sink(): void {
    const heap = this.#heap;
    const item = heap[0]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#isAfter(heap[child + 1]!, heap[child]!)) child += 1;
      if (!this.#isAfter(heap[child]!, item)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = item;
  }
}

interface Ranked<T> {
  readonly row: T;
  /** In the order of arrival. */
  readonly place: number;
}
