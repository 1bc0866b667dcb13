import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { creditToGrant } from '../../../src/sources/event-hubs/credit.ts';

const empty = {
  bufferedEvents: 0,
  bufferedBytes: 0,
  outstanding: 0,
  outstandingMax: 10_000,
  eventsMax: 1000,
  bytesMax: 1e9,
  averageEventBytes: 1000,
};

describe('the credit of a link', () => {
  it('is the whole buffer at first and nothing more while idle', () => {
    expect(creditToGrant(empty)).toBe(1000);
    expect(creditToGrant({ ...empty, outstanding: 1000 })).toBe(0);
  });

  it('is nothing when the buffer is full', () => {
    expect(creditToGrant({ ...empty, bufferedEvents: 1000 })).toBe(0);
  });

  it('is topped up in portions, not event by event', () => {
    expect(creditToGrant({ ...empty, bufferedEvents: 100, outstanding: 600 })).toBe(0);
    expect(creditToGrant({ ...empty, bufferedEvents: 100, outstanding: 400 })).toBe(500);
  });

  it('is small while the size of the events is unknown', () => {
    expect(creditToGrant({ ...empty, outstandingMax: 64 })).toBe(64);
    expect(creditToGrant({ ...empty, outstandingMax: 64, outstanding: 50 })).toBe(0);
    expect(creditToGrant({ ...empty, outstandingMax: 64, outstanding: 30, bufferedEvents: 24 })).toBe(34);
  });

  it('shrinks to what the bytes allow', () => {
    expect(creditToGrant({ ...empty, bytesMax: 20_000 })).toBe(20);
    expect(creditToGrant({ ...empty, bytesMax: 20_000, bufferedEvents: 20, bufferedBytes: 20_000 })).toBe(0);
  });

  it('lets one event through though it is larger than the whole budget', () => {
    expect(creditToGrant({ ...empty, bytesMax: 10, averageEventBytes: 1e6 })).toBe(1);
  });

  it('keeps buffered events and credit together within the bound, and never blocks for ever', () => {
    const situation = fc.record({
      bufferedEvents: fc.nat(20_000),
      bufferedBytes: fc.nat(1e8),
      outstanding: fc.nat(20_000),
      outstandingMax: fc.integer({ min: 1, max: 20_000 }),
      eventsMax: fc.integer({ min: 1, max: 20_000 }),
      bytesMax: fc.integer({ min: 1, max: 1e8 }),
      averageEventBytes: fc.integer({ min: 256, max: 1e6 }),
    });
    fc.assert(
      fc.property(situation, (s) => {
        const grant = creditToGrant(s);
        expect(grant).toBeGreaterThanOrEqual(0);
        if (grant > 0) expect(s.bufferedEvents + s.outstanding + grant).toBeLessThanOrEqual(s.eventsMax);
        if (s.bufferedEvents === 0 && s.outstanding === 0) expect(grant).toBeGreaterThan(0);
      }),
    );
  });
});
