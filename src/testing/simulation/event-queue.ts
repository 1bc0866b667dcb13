/** Something that will happen in a simulated world. */
export interface SimulatedEvent<Owner> {
  timeMs: number;
  /** Decides between events of one moment: drawn from the seed. */
  readonly tie: number;
  /** Whose event it is: held while that one is frozen, dropped when it is dead. Undefined: the network's or the world's. */
  readonly owner: Owner | undefined;
  readonly run: () => void;
}

/** The events to come, earliest first: a binary heap. */
export class EventQueue<Owner> {
  readonly #heap: SimulatedEvent<Owner>[] = [];

  get size(): number {
    return this.#heap.length;
  }

  push(event: SimulatedEvent<Owner>): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  pop(): SimulatedEvent<Owner> | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore<Owner>(a: SimulatedEvent<Owner>, b: SimulatedEvent<Owner>): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.tie < b.tie);
}
