import type { KeyIdentity } from '../base/canonical-key.ts';
import { copyPlain } from '../base/plain-data.ts';
import { keysPerStep, type Steps } from '../base/turns.ts';
import type { StatePartition } from '../state/state-partition.ts';

/** One key of a window. */
interface WindowKey<K, V> {
  readonly key: K;
  /**
   * Of the panes up to the block's end, those that hold the key, newest first: each with what it and the newer ones
   * of the block fold to. The last one is what the block contributes to the window.
   */
  readonly suffixes: { readonly pane: number; readonly value: V }[];
  /** Fold of the panes after the block. */
  prefix: V | undefined;
  hasPrefix: boolean;
  /** The window's value: block, then the panes after it. */
  value: V;
}

/**
 * The value of every key of a window that slides over panes, without an inverse function.
 *
 * Panes are cut into blocks of one window length, at fixed pane numbers. A window then is the end of one block and the
 * beginning of the next. Of the ended block we keep, per key, the fold of each of its panes with the newer ones
 * (suffixes); of the beginning one the fold so far (prefix). Sliding pops suffixes, extends prefixes and combines the
 * two, so a slide reduces only for the keys of the panes that leave and enter, and once per window length every entry is
 * folded anew. That is at most four calls of the function per entry, whatever the length of the window.
 * Source: van Herk / Gil-Werman; the two stacks of a queue, with their turning points fixed.
 *
 * Invariants
 *   F1. Order of the reduction: oldest pane to newest.
 *   F2. Values, and the order of keys (by their newest pane, then arrival in it), depend on the panes alone, not on how
 *       we came here. So what a restart rebuilds is equal to the last digit of a floating point sum.
 *   F3. Never holds a value that the state holds, or that was handed out.
 */
export class SlidingFold<K, V> {
  readonly #reduce: (a: V, b: V) => V;
  readonly #panesPerWindow: number;
  #keys = new Map<KeyIdentity, WindowKey<K, V>>();
  /** Newest pane of the window as it stands; undefined while it is not usable. */
  #last: number | undefined;

  constructor(reduce: (a: V, b: V) => V, panesPerWindow: number) {
    this.#reduce = reduce;
    this.#panesPerWindow = panesPerWindow;
  }

  /** Moves on to the window that ends with pane `last`. `state` still holds the panes that leave. */
  *slideTo(last: number, state: StatePartition): Steps {
    const previous = this.#last;
    // A function that throws, or an attempt that is given up, leaves a half-moved window: the next try rebuilds it.
    this.#last = undefined;
    const blockEnd = this.#blockEnd(last);
    if (previous === undefined || previous >= last || this.#blockEnd(previous) !== blockEnd) {
      yield* this.#rebuild(last, blockEnd, state);
    } else {
      const panes = state.panes();
      const first = last - this.#panesPerWindow + 1;
      const firstBefore = previous - this.#panesPerWindow + 1;
      const touched = new Set<WindowKey<K, V>>();
      for (const pane of panes) {
        if (pane > 0 && pane >= firstBefore && pane < first) yield* this.#leave(pane, state, touched);
      }
      for (const pane of panes) if (pane > previous && pane <= last) yield* this.#enter(pane, state, touched);
      yield* this.#combineEach(touched);
    }
    this.#last = last;
  }

  *rows(): Steps<[K, V][]> {
    const rows: [K, V][] = [];
    for (const { key, value } of this.#keys.values()) {
      rows.push([copyPlain(key), copyPlain(value)]);
      if (rows.length % keysPerStep === 0) yield;
    }
    return rows;
  }

  /** The newest pane of the block that the oldest panes of the window belong to. */
  #blockEnd(last: number): number {
    return Math.floor(last / this.#panesPerWindow) * this.#panesPerWindow;
  }

  *#rebuild(last: number, blockEnd: number, state: StatePartition): Steps {
    this.#keys = new Map();
    const first = Math.max(1, last - this.#panesPerWindow + 1);
    const panes = state.panes().filter((pane) => pane >= first && pane <= last);
    for (const pane of panes.filter((candidate) => candidate <= blockEnd).reverse()) {
      yield* this.#extendSuffixes(pane, state);
    }
    const all = new Set<WindowKey<K, V>>();
    for (const pane of panes) {
      if (pane > blockEnd) yield* this.#enter(pane, state, all);
      else yield* this.#moveToEnd(pane, state);
    }
    yield* this.#combineEach(this.#keys.values());
  }

  #extendSuffixes(pane: number, state: StatePartition): Steps {
    return state.visit(pane, (id, cell) => {
      const own = copyPlain(cell.value) as V;
      const windowKey = this.#keys.get(id);
      if (windowKey === undefined) {
        this.#keys.set(id, newKey(cell.key as K, [{ pane, value: own }], own));
        return;
      }
      const newer = windowKey.suffixes.at(-1)!.value;
      windowKey.suffixes.push({ pane, value: this.#reduce(own, newer) });
    });
  }

  #enter(pane: number, state: StatePartition, touched: Set<WindowKey<K, V>>): Steps {
    return state.visit(pane, (id, cell) => {
      const entered = copyPlain(cell.value) as V;
      const windowKey = this.#keys.get(id) ?? newKey(cell.key as K, [], entered);
      windowKey.prefix = windowKey.hasPrefix ? this.#reduce(windowKey.prefix as V, entered) : entered;
      windowKey.hasPrefix = true;
      touched.add(windowKey);
      this.#keys.delete(id); // F2
      this.#keys.set(id, windowKey);
    });
  }

  #leave(pane: number, state: StatePartition, touched: Set<WindowKey<K, V>>): Steps {
    return state.visit(pane, (id) => {
      const windowKey = this.#keys.get(id);
      if (windowKey === undefined) return;
      windowKey.suffixes.pop();
      if (windowKey.suffixes.length === 0 && !windowKey.hasPrefix) {
        this.#keys.delete(id);
        touched.delete(windowKey);
      } else {
        touched.add(windowKey);
      }
    });
  }

  #moveToEnd(pane: number, state: StatePartition): Steps {
    return state.visit(pane, (id) => {
      const windowKey = this.#keys.get(id)!;
      this.#keys.delete(id);
      this.#keys.set(id, windowKey);
    });
  }

  *#combineEach(windowKeys: Iterable<WindowKey<K, V>>): Steps {
    let count = 0;
    for (const windowKey of windowKeys) {
      this.#combine(windowKey);
      if (++count % keysPerStep === 0) yield;
    }
  }

  #combine(windowKey: WindowKey<K, V>): void {
    const { suffixes, prefix, hasPrefix } = windowKey;
    const block = suffixes.at(-1);
    if (block === undefined) windowKey.value = prefix as V;
    else windowKey.value = hasPrefix ? this.#reduce(copyPlain(block.value), prefix as V) : block.value;
  }
}

function newKey<K, V>(key: K, suffixes: WindowKey<K, V>['suffixes'], value: V): WindowKey<K, V> {
  return { key, suffixes, prefix: undefined, hasPrefix: false, value };
}

/** Folds one key over a stretch of panes, oldest first; undefined when none of them holds it. */
export function foldKey<V>(
  state: StatePartition,
  id: KeyIdentity,
  panes: { readonly first: number; readonly last: number },
  reduce: (a: V, b: V) => V,
): V | undefined {
  let folded: V | undefined;
  for (let pane = Math.max(1, panes.first); pane <= panes.last; pane++) {
    const cell = state.get(pane, id);
    if (cell === undefined) continue;
    const value = copyPlain(cell.value) as V;
    folded = folded === undefined ? value : reduce(folded, value);
  }
  return folded;
}
