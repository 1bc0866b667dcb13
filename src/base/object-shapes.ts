import { isForbiddenName } from './data-path.ts';

/**
 * The names of stored objects, as a tree that is walked while they are read: what came after a name before is compared
 * first, so that a name is a few bytes compared, not a text decoded and looked up.
 *
 * Objects of a shape that is seen often are made by a function of their own, as an object literal. That is several times
 * faster than giving an empty object one property after the other, and the objects have all properties in place, as those
 * of the program have. Where code must not be generated, they are made the other way.
 *
 * Bounded: objects that are dictionaries would let it grow without end. When it is full and does not fit any more, it begins anew.
 */

export type MakeObject = (parts: readonly unknown[], base: number) => Record<string, unknown>;

const stepsMax = 2048;
/** Names at one place. */
const othersMax = 16;
const namesMax = 32;
const nameBytesMax = 64;
const missesMax = 1000;
const objectsBeforeMaker = 16;

let steps = 0;
let misses = 0;
let mayGenerate = true;

/** A name of an object, after those before it. */
export class ShapeStep {
  readonly names: readonly string[];
  /** Head and text of the name, as they are stored. */
  readonly bytes: Uint8Array;
  /** What may come next, and then in turn `other`. */
  first: ShapeStep | undefined;
  other: ShapeStep | undefined;
  #objects = 0;
  #make: MakeObject | undefined;

  constructor(names: readonly string[], bytes: Uint8Array) {
    this.names = names;
    this.bytes = bytes;
  }

  /** The object that has all names up to this one. */
  make(parts: readonly unknown[], base: number): Record<string, unknown> {
    if (this.#make !== undefined) return this.#make(parts, base);
    if (++this.#objects === objectsBeforeMaker) this.#make = makerOf(this.names);
    const object: Record<string, unknown> = {};
    for (let i = 0; i < this.names.length; i++) object[this.names[i]!] = parts[base + i];
    return object;
  }
}

let root = new ShapeStep([], new Uint8Array(0));

/** Where every object begins. */
export function shapeRoot(): ShapeStep {
  return root;
}

/** Takes up a name that came after the step for the first time. Undefined: it is not kept. */
export function learnName(after: ShapeStep, name: string, bytes: Uint8Array): ShapeStep | undefined {
  let others = 0;
  for (let step = after.first; step !== undefined; step = step.other) others += 1;
  const isKept = after.names.length < namesMax && bytes.length <= nameBytesMax && !isForbiddenName(name);
  if (!isKept) return undefined;
  if (others >= othersMax || steps >= stepsMax) {
    if (++misses >= missesMax) forgetAll();
    return undefined;
  }
  steps += 1;
  const step = new ShapeStep([...after.names, name], bytes);
  step.other = after.first;
  after.first = step;
  return step;
}

function forgetAll(): void {
  root = new ShapeStep([], new Uint8Array(0));
  steps = 0;
  misses = 0;
}

function makerOf(names: readonly string[]): MakeObject | undefined {
  if (!mayGenerate) return undefined;
  const properties = names.map((name, i) => `${JSON.stringify(name)}: parts[base + ${i}]`);
  try {
    // Names are quoted, and one that would set the prototype was never kept.
    return new Function('parts', 'base', `return { ${properties.join(', ')} };`) as MakeObject;
  } catch {
    // Node was told not to generate code.
    mayGenerate = false;
    return undefined;
  }
}
