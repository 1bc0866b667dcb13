import { MemoryTopic } from '../../../src/testing/memory-topic.ts';

/** Every batch changes nearly all of them, far more than the engine touches between two turns of the event loop. */
export const keys = 40_000;
export const rounds = 4;
export const roundMs = 1000;

export type Row = readonly [key: string, value: number];

/** The same in every process: in each round, a row for every key. */
export function topicOf(startMs: number): MemoryTopic<Row> {
  const topic = new MemoryTopic<Row>('rows', 2);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < keys; i++) topic.send(startMs + round * roundMs, i % 2, [`key ${i}`, round * keys + i]);
  }
  return topic;
}

/** What the state of a key must be in the end. */
export function expectedSum(i: number): number {
  let sum = 0;
  for (let round = 0; round < rounds; round++) sum += round * keys + i;
  return sum;
}
