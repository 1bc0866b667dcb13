import { describe, expect, it } from 'vitest';
import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { readOutbox } from '../../../src/inspect/read-outbox.ts';
import { rewindStream } from '../../../src/operate/rewind-stream.ts';
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

describe('row 23: a driver that committed a batch and slept while the stream went back behind it', () => {
  it('as class B can not write it any more, though the newer driver has written nothing yet', async () => {
    const world = new SinkWorld(endMs, {}, ['ledger']);
    const thaw = Promise.withResolvers<void>();
    const frozen = Promise.withResolvers<void>();
    let times = 0;
    const zombie = await world.start(undefined, {
      at: 'batch:input-freed',
      until: () => {
        if (++times < frozenMs / 1000) return undefined;
        frozen.resolve();
        return thaw.promise;
      },
    });
    zombie.runTo(frozenMs).catch(() => {});
    await frozen.promise;
    const { clock } = world;
    await rewindStream(world.store, 2, { takeOver: true, clock, random: new SeededRandom(9) });
    const next = await world.start();
    const before = await seenIn(world, 'ledger');

    thaw.resolve();
    await expect(zombie.context.awaitTermination()).rejects.toMatchObject({
      code: expect.stringMatching(/FENCED/),
    });
    expect(await seenIn(world, 'ledger')).toEqual(before);
    await next.runTo(endMs);
    await next.stop();
    // Batches 3 and 4 were given up, and 5 is the rewind: what they would have written is in later ones.
    const batches = (await seenIn(world, 'ledger')) as readonly { readonly batch: number }[];
    expect(new Set(batches.map(({ batch }) => batch))).not.toContain(4);
  });
});

describe('row 12: a driver that slept while it was recovering, until others had cleaned up what it was to publish', () => {
  it.each(['table', 'ledger'] as const)('is told that it is fenced, and writes nothing to %s', async (output) => {
    const cleaning = { inlineBytesMax: 0, manifestEveryRecords: 2, retainManifests: 1, silenceThresholdMs: 500 };
    const world = new SinkWorld(20_000, cleaning, [output]);
    expect(await world.live(3000, { at: 'publish:before', nth: 3 })).toBe(true);
    const thaw = Promise.withResolvers<void>();
    const frozen = Promise.withResolvers<void>();
    const sleeper = world.start(undefined, {
      at: 'recovery:sinks-told',
      until: () => {
        frozen.resolve();
        return thaw.promise;
      },
    });
    sleeper.catch(() => {});
    await frozen.promise;
    const next = await world.start();
    await next.runTo(20_000);
    await next.stop();
    const before = await seenIn(world, output);

    thaw.resolve();
    await expect(sleeper).rejects.toMatchObject({ code: 'FENCED', message: expect.stringContaining('has cleaned up') });
    expect(await seenIn(world, output)).toEqual(before);
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
