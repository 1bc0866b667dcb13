import { describe, expect, it } from 'vitest';
import { questions } from './configurations.ts';
import { explore } from './explorer.ts';
import { mutations } from './mutations.ts';
import { Protocol } from './protocol.ts';

const statesMax = 5_000_000;
// A few seconds of work each; a machine that does much else may take its time.
const timeout = 180_000;

describe.each(questions)('$configuration.name', { timeout }, ({ configuration, statesMin, mutations: leftOut }) => {
  it('holds in every reachable world', () => {
    const { states, exhausted, violation } = explore(new Protocol(configuration), statesMax);
    console.log(`${configuration.name}: ${states} states`);
    expect(violation).toBeUndefined();
    expect(exhausted).toBe(true);
    expect(states).toBeGreaterThan(statesMin);
  });

  it.each(leftOut)('a protocol with "%s" is broken', (mutation) => {
    const { states, violation } = explore(new Protocol(configuration, mutation), statesMax);
    console.log(`${mutation}: ${violation?.steps.length} steps, after ${states} states: ${violation?.what}`);
    expect(violation?.what).toMatch(/^P[1-5]: /);
  });
});

it('every rule is left out once', () => {
  expect(questions.flatMap((question) => question.mutations).sort()).toEqual([...mutations].sort());
});
