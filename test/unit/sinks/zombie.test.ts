import { describe, expect, it } from 'vitest';
import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { readOutbox } from '../../../src/inspect/read-outbox.ts';
import { type OutputName, SinkWorld } from './sink-world.ts';

const frozenMs = 3000;
const endMs = 7000;

/** What an uninterrupted driver leaves in the one output. */
async function calm(output: OutputName): Promise<unknown> {
  const world = new SinkWorld(endMs, {}, [output]);
  await world.live(endMs);
  return seenIn(world, output);
}

async function seenIn(world: SinkWorld, output: OutputName): Promise<unknown> {
  if (output !== 'feed') return (await world.outputs())[output];
  const batches: unknown[] = [];
  for await (const event of readOutbox(world.store, 'feed', { waitMs: 0, clock: world.clock })) {
    if (event.kind === 'batch') batches.push([event.batchId, event.rows]);
  }
  return batches;
}

/** A driver freezes in the batch of second 3; a new one takes over and runs to the end; then the first one goes on. */
async function haunt(output: OutputName, at: CrashPoint) {
  const world = new SinkWorld(endMs, {}, [output]);
  const thaw = Promise.withResolvers<void>();
  const frozen = Promise.withResolvers<void>();
  let times = 0;
  // The first batches pass the point; the third one stays there.
  const zombie = await world.start(undefined, {
    at,
    until: () => {
      if (++times < frozenMs / 1000) return undefined;
      frozen.resolve();
      return thaw.promise;
    },
  });
  const running = zombie.runTo(frozenMs);
  running.catch(() => {});
  await frozen.promise;
  const next = await world.start();
  await next.runTo(endMs);
  await next.stop();
  const before = await seenIn(world, output);
  const passed = new Map(world.passed);
  thaw.resolve();
  const end = await zombie.context.awaitTermination().then(
    () => undefined,
    (error) => error,
  );
  const writes = (place: Parameters<typeof world.passed.get>[0]) =>
    (world.passed.get(place) ?? 0) - (passed.get(place) ?? 0);
  return { before, after: await seenIn(world, output), end, writes };
}

describe('row 28: a driver that was replaced while it slept, after its commit and before it wrote', () => {
  it('as class A repeats the committed rows, and rows of newer batches stay', async () => {
    const { before, after, end, writes } = await haunt('table', 'batch:input-freed');
    expect(writes('upsert: applied, answer lost')).toBeGreaterThan(0);
    expect(before).toEqual(await calm('table'));
    expect(after).toEqual(before);
    expect(end).toMatchObject({ code: expect.stringMatching(/FENCED/) });
  });

  it('as class B is refused by the progress of the newer one', async () => {
    const { before, after, end, writes } = await haunt('ledger', 'batch:input-freed');
    expect(writes('ledger: before')).toBe(1);
    expect(writes('ledger: applied, answer lost')).toBe(0);
    expect(before).toEqual(await calm('ledger'));
    expect(after).toEqual(before);
    expect(end).toMatchObject({ code: expect.stringMatching(/FENCED/) });
  });

  it('as class C finds its output there', async () => {
    const { before, after, end } = await haunt('folder', 'batch:input-freed');
    expect(before).toEqual(await calm('folder'));
    expect(after).toEqual(before);
    expect(end).toMatchObject({ code: expect.stringMatching(/FENCED/) });
  });
});

describe('row 10: a driver that was replaced before its commit', () => {
  it.each(['table', 'ledger', 'folder', 'feed'] as const)('writes nothing to %s', async (output) => {
    const { before, after, end, writes } = await haunt(output, 'commit:before-record');
    expect(writes('upsert: before') + writes('ledger: before')).toBe(0);
    expect(before).toEqual(await calm(output));
    expect(after).toEqual(before);
    expect(end).toMatchObject({ code: expect.stringMatching(/FENCED/) });
  });
});
