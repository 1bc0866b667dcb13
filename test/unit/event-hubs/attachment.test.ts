import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { Attachment } from '../../../src/sources/event-hubs/attachment.ts';

async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve();
}

describe('a link that is watched for silence', () => {
  it('ends when events are owed and none comes for the time allowed', async () => {
    const clock = new ManualClock(0);
    const attachment = new Attachment(clock);
    attachment.ask(10);
    const watching = attachment.watchSilence(1_000, () => true);
    clock.advanceTo(900);
    attachment.arrived();
    clock.advanceTo(1_500);
    await turns();
    expect(attachment.isEnded).toBe(false);
    clock.advanceTo(1_900);
    await watching;
    expect(await attachment.ended).toEqual({ reason: 'silent' });
    expect(attachment.outstanding).toBe(0);
  });

  it.each<[string, number, boolean]>([
    ['nothing is owed', 10, false],
    ['nothing was asked for', 0, true],
  ])('stays open when %s', async (_, credit, isOwed) => {
    const clock = new ManualClock(0);
    const attachment = new Attachment(clock);
    if (credit > 0) attachment.ask(credit);
    const watching = attachment.watchSilence(1_000, () => isOwed);
    for (let ms = 0; ms < 10_000; ms += 500) {
      clock.advanceBy(500);
      await turns();
    }
    expect(attachment.isEnded).toBe(false);
    attachment.end({ reason: 'stopped' });
    await watching;
  });

  it('counts the time from when credit was given, not from before', async () => {
    const clock = new ManualClock(0);
    const attachment = new Attachment(clock);
    const watching = attachment.watchSilence(1_000, () => true);
    clock.advanceTo(900);
    attachment.ask(1);
    clock.advanceTo(1_000);
    await turns();
    expect(attachment.isEnded).toBe(false);
    clock.advanceTo(1_900);
    await turns();
    clock.advanceTo(2_000);
    await watching;
    expect(attachment.isEnded).toBe(true);
  });

  it('keeps the first reason it ended for', async () => {
    const attachment = new Attachment(new ManualClock(0));
    attachment.end({ reason: 'gap', found: 7 });
    attachment.end({ reason: 'stopped' });
    expect(await attachment.ended).toEqual({ reason: 'gap', found: 7 });
  });
});
