import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import type { EngineEnvironment, StreamingContextOptions } from '../../../src/execution/context-options.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';

export interface TestContextOptions extends Partial<StreamingContextOptions> {
  readonly environment?: EngineEnvironment;
}

/** A context on a clock that stands at 0, as a program would make it: it counts as the one of this process. */
export function testContext(options: TestContextOptions = {}): StreamingContext {
  return new StreamingContext({
    appName: 'life-cycle',
    batchInterval: Seconds(1),
    ...options,
    environment: { clock: new ManualClock(0), random: new SeededRandom(1), print: () => {}, ...options.environment },
  });
}

/** The same with a stream of numbers, one per second from 1 on, that is printed. */
export function printingContext(options: TestContextOptions = {}): StreamingContext {
  const context = testContext(options);
  context.sourceStream(numbers().source()).print();
  return context;
}

export function numbers(until = 20): MemoryTopic<number> {
  const topic = new MemoryTopic<number>('numbers', 1);
  for (let t = 1; t <= until; t++) topic.send(t * 1000, 0, t);
  return topic;
}
