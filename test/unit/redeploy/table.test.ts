import { expect, test } from 'vitest';
import { Minutes, Seconds } from '../../../src/base/time.ts';
import { type State, StateSpec } from '../../../src/dstream/map-with-state.ts';
import type { StateSchema } from '../../../src/state/state-schema.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { difference, Shelf, sum } from '../engine/support.ts';
import { Deployed, everySecond } from './support.ts';

const title = 'The program does not fit its checkpoint. Nothing was changed.';

/** A program of one stateful operator. */
type Define = (ssc: StreamingContext) => void;

const rows = (ssc: StreamingContext) => ssc.sourceStream(everySecond().source(), { uid: 'pairs' });

function counted(uid: string, schema?: Partial<StateSchema<number>>): Define {
  return (ssc) =>
    rows(ssc)
      .updateStateByKey<string, number, number>((values, n) => (n ?? 0) + values.length, {
        uid,
        schema: schema as StateSchema<number> | undefined,
      })
      .print();
}

function mapped(uid: string, timeoutMinutes?: number): Define {
  return (ssc) => {
    const spec = StateSpec.function((_key: string, value: number | undefined, state: State<number>) => {
      if (value !== undefined) state.update(value);
      return 1;
    });
    const timed = timeoutMinutes === undefined ? spec : spec.timeout(Minutes(timeoutMinutes));
    rows(ssc).mapWithState(timed, { uid }).print();
  };
}

function windowed(lengthSeconds: number, slideSeconds: number, withInverse = true): Define {
  return (ssc) => {
    const [length, slide] = [Seconds(lengthSeconds), Seconds(slideSeconds)];
    const stream = withInverse
      ? rows(ssc).reduceByKeyAndWindow(sum, difference, length, slide, { uid: 'recent' })
      : rows(ssc).reduceByKeyAndWindow(sum, length, slide, { uid: 'recent' });
    stream.print();
  };
}

test.each<[string, Define, Define, string]>([
  [
    'a stateful operator is gone',
    counted('totals'),
    (ssc) => rows(ssc).print(),
    `what           | in the checkpoint | in the program | what to do
---------------+-------------------+----------------+-----------------------------------------------------------------------------------------------
state 'totals' | updateStateByKey  | missing        | define it under uid 'totals' again, or give its state up with ssc.dropState('totals')`,
  ],
  [
    'its uid is another one',
    counted('totals'),
    counted('sums'),
    `what           | in the checkpoint | in the program | what to do
---------------+-------------------+----------------+-----------------------------------------------------------------------------------------------
state 'totals' | updateStateByKey  | missing        | define it under uid 'totals' again, or give its state up with ssc.dropState('totals') (a uid can't change: 'sums' of the program would start empty)`,
  ],
  [
    'another operator has its uid',
    counted('totals'),
    mapped('totals'),
    `what           | in the checkpoint | in the program            | what to do
state 'totals' | updateStateByKey  | mapWithState keepsTimes=0 | give the mapWithState another uid, and keep the updateStateByKey or give its state up with ssc.dropState('totals')`,
  ],
  [
    'a timeout is added to keys without times',
    mapped('last'),
    mapped('last', 5),
    `what         | in the checkpoint         | in the program            | what to do
state 'last' | mapWithState keepsTimes=0 | mapWithState keepsTimes=1 | define it without a timeout: its keys have no times, or give its state up with ssc.dropState('last')`,
  ],
  [
    'a window does not fit its panes',
    windowed(6, 2),
    windowed(7, 2),
    `what           | in the checkpoint                                                        | in the program                                                           | what to do
state 'recent' | reduceByKeyAndWindow inverse=1 lengthMs=6000 paneMs=2000 slideMs=2000 | reduceByKeyAndWindow inverse=1 lengthMs=7000 paneMs=1000 slideMs=2000 | choose a length and a slide that are multiples of 2000 ms, its stored panes, or give its state up with ssc.dropState('recent')`,
  ],
  [
    'a window lost its inverse function',
    windowed(6, 2),
    windowed(6, 2, false),
    `what           | in the checkpoint                                                        | in the program                                                           | what to do
state 'recent' | reduceByKeyAndWindow inverse=1 lengthMs=6000 paneMs=2000 slideMs=2000 | reduceByKeyAndWindow inverse=0 lengthMs=6000 paneMs=2000 slideMs=2000 | define it with the inverse function again, or give its state up with ssc.dropState('recent')`,
  ],
  [
    'values are of an older schema and there is no migrate',
    counted('totals'),
    counted('totals', { version: 2 }),
    `what           | in the checkpoint | in the program            | what to do
state 'totals' | updateStateByKey  | updateStateByKey schema=2 | add migrate to schema: { version: 2 } for values of version 1`,
  ],
  [
    'a step of migrate is missing',
    counted('totals'),
    counted('totals', { version: 4, migrate: { 1: () => 1, 3: () => 3 } }),
    `what           | in the checkpoint | in the program            | what to do
state 'totals' | updateStateByKey  | updateStateByKey schema=4 | add migrate step 2 to schema: { version: 4 } for values of version 1`,
  ],
  [
    'values are of a newer schema than the program',
    counted('totals', { version: 2 }),
    counted('totals'),
    `what           | in the checkpoint         | in the program   | what to do
state 'totals' | updateStateByKey schema=2 | updateStateByKey | run version 2 again, declare schema: { version: 1, reads: [2] } if this program can read its values, or rewind to a batch before them`,
  ],
  [
    'an input is another one',
    (ssc) => rows(ssc).print(),
    (ssc) => ssc.sourceStream(new MemoryTopic<number>('others', 1).source(), { uid: 'pairs' }).print(),
    `what           | in the checkpoint        | in the program            | what to do
source 'pairs' | memory-topic topic=pairs | memory-topic topic=others | define it as before, or give its position up with ssc.dropSource('pairs'); another input needs another uid`,
  ],
])('when %s, the refusal is a table that says what to do', async (_what, before, after, expected) => {
  const stream = new Deployed();
  await stream.run(before, 4);
  const [first, head, rule, ...body] = (await stream.refusal(after)).split('\n');
  expect(first).toBe(title);
  expect(rule).toMatch(/^-+\+-+\+-+\+-+$/);
  expect(rule!.length).toBe(Math.max(...body.map((line) => line.length)));
  const plain = (lines: readonly string[]): string[] => lines.map((line) => line.replace(/ +\|/g, ' |'));
  const lines = expected.split('\n').filter((line) => !/^-+\+/.test(line));
  expect(plain([head!, ...body])).toEqual(plain(lines));
  // What is refused has changed nothing.
  await stream.run(before, 5);
});

test('an output with committed batches that are not published has a row of its own', async () => {
  const stream = new Deployed();
  const shelf = new Shelf();
  const to =
    (name: string): Define =>
    (ssc) =>
      rows(ssc).saveTo(shelf.sink(name), { uid: 'out' });
  await stream.run(to('shelf'), 2);
  shelf.failPublish = new Error('disk full');
  await expect(stream.run(to('shelf'), 3)).rejects.toThrow('disk full');
  expect((await stream.refusal(to('elsewhere'))).split('\n').at(-1)).toBe(
    "output 'out' | shelf shelf, with committed batches that are not published yet | shelf elsewhere | start once with the output 'out' as it was and stop gracefully",
  );
});
