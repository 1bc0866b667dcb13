import fc from 'fast-check';
import { keyIdentity } from '../../../src/base/canonical-key.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { InProcessRunner, type InProcessRunnerOptions } from '../../../src/rdd/in-process-runner.ts';
import { RddContext } from '../../../src/rdd/rdd-context.ts';

export function newContext(defaultParallelism: number | null = 3, options: InProcessRunnerOptions = {}): RddContext {
  return new RddContext({
    runner: new InProcessRunner(options),
    defaultParallelism: defaultParallelism ?? undefined,
    random: new SeededRandom(1),
    turns: options.turns,
  });
}

export const partitionCount: fc.Arbitrary<number> = fc.integer({ min: 1, max: 5 });
/** Keys of several types, few enough to meet: equal composite keys are different objects, and one text looks like the identity of [1]. */
export const someKey: fc.Arbitrary<unknown> = fc
  .constantFrom(
    '1',
    '0,1',
    '1n',
    '"1"',
    '"a"',
    'null',
    'true',
    '[1]',
    '"\\u0000a1:n1;"',
    '["a",{"b":1}]',
    '{"x":1,"y":2}',
    'nan',
    '-0',
  )
  .map((text) => {
    if (text === '1n') return 1n;
    if (text === 'nan') return Number.NaN;
    return text === '0,1' ? 0 : JSON.parse(text);
  });
export const somePairs: fc.Arbitrary<[unknown, number][]> = fc.array(
  fc.tuple(someKey, fc.integer({ min: -9, max: 9 })),
  {
    maxLength: 40,
  },
);

/** Groups in first-seen order of keys, with the rules of key equality. */
export function grouped<V>(pairs: readonly (readonly [unknown, V])[]): [unknown, V[]][] {
  const groups = new Map<unknown, [unknown, V[]]>();
  for (const [key, value] of pairs) {
    const identity = keyIdentity(key);
    const group = groups.get(identity);
    if (group === undefined) groups.set(identity, [key, [value]]);
    else group[1].push(value);
  }
  return [...groups.values()];
}

/** For comparing results whose order over partitions is not promised: by key, values as they came. */
export function byKey<V>(pairs: readonly (readonly [unknown, V])[]): Map<unknown, V[]> {
  return new Map(
    grouped(pairs)
      .map(([key, values]) => [keyIdentity(key), values] as const)
      .sort((a, b) => (String(a[0]) + typeof a[0] < String(b[0]) + typeof b[0] ? -1 : 1)),
  );
}
