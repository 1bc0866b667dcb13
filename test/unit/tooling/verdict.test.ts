import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type LedgerContent, type LedgerEntry, parseLedger, rangesOf } from '../../../scripts/demo/ledger.ts';
import { parseLine } from '../../../scripts/demo/output-reader.ts';
import { type CountLine, formatVerdict, judge } from '../../../scripts/demo/verdict.ts';

/** A ledger in which each device has sent 1..n. */
function sent(devices: Record<string, number>): LedgerContent {
  const entries: LedgerEntry[] = [
    {
      kind: 'sending',
      send: 1,
      partition: '0',
      lastSequenceNumber: -1,
      ranges: Object.entries(devices).map(([id, last]) => [id, 1, last]),
    },
    { kind: 'sent', send: 1 },
  ];
  return parseLedger(entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
}

function line(deviceId: string, batchTime: number, firstSeq: number, lastSeq: number, total: number): CountLine {
  return { deviceId, batchTime, received: lastSeq - firstSeq + 1, firstSeq, lastSeq, total };
}

const good = [line('a', 1000, 1, 3, 3), line('a', 2000, 4, 4, 4), line('b', 1000, 1, 2, 2), line('b', 3000, 3, 6, 6)];

describe('verdict', () => {
  test('is clean when every event was counted once', () => {
    expect(judge(sent({ a: 4, b: 6 }), good)).toMatchObject({
      sent: 10,
      counted: 10,
      lost: 0,
      duplicated: 0,
      outOfOrder: 0,
      wrongTotals: 0,
      clean: true,
      findings: [],
    });
  });

  test('does not depend on the order of the lines, nor on lines without events', () => {
    const lines = [
      ...good.toReversed(),
      { deviceId: 'a', batchTime: 3000, received: 0, firstSeq: 0, lastSeq: 0, total: 4 },
    ];
    expect(judge(sent({ a: 4, b: 6 }), lines)).toMatchObject({ counted: 10, clean: true });
  });

  test('finds a batch that was lost from the output', () => {
    const lines = good.filter((known) => known.deviceId !== 'a' || known.batchTime !== 2000);
    const verdict = judge(sent({ a: 4, b: 6 }), lines);
    expect(verdict).toMatchObject({ sent: 10, counted: 9, lost: 1, duplicated: 0, wrongTotals: 0, clean: false });
    expect(verdict.findings).toEqual(['a: 1 lost (seq 4)']);
  });

  test('finds a batch that was lost from the output and the state', () => {
    const lines = [line('a', 1000, 1, 3, 3), line('a', 3000, 6, 7, 5)];
    expect(judge(sent({ a: 7 }), lines)).toMatchObject({ counted: 5, lost: 2, duplicated: 0, wrongTotals: 0 });
  });

  test('finds a device without any line', () => {
    expect(judge(sent({ a: 4, b: 6, c: 2 }), good)).toMatchObject({ lost: 2, findings: ['c: 2 lost (seq 1-2)'] });
  });

  test('finds a batch that was counted twice', () => {
    const verdict = judge(sent({ a: 4, b: 6 }), [...good, line('b', 3000, 3, 6, 10)]);
    expect(verdict).toMatchObject({ counted: 14, lost: 0, duplicated: 4, clean: false });
  });

  test('finds events that were read again in the next batch', () => {
    const lines = [line('a', 1000, 1, 3, 3), line('a', 2000, 3, 4, 5)];
    expect(judge(sent({ a: 4 }), lines)).toMatchObject({ counted: 5, lost: 0, duplicated: 1 });
  });

  test('finds loss and doubling inside the range of one batch', () => {
    const short = { ...line('a', 1000, 1, 4, 3), received: 3 };
    const long = { ...line('a', 1000, 1, 4, 5), received: 5 };
    const even = { ...line('a', 1000, 1, 4, 4), seqSum: 1 + 2 + 2 + 4 };
    expect(judge(sent({ a: 4 }), [short])).toMatchObject({ lost: 1, duplicated: 0 });
    expect(judge(sent({ a: 4 }), [long])).toMatchObject({ lost: 0, duplicated: 1 });
    expect(judge(sent({ a: 4 }), [even])).toMatchObject({ lost: 1, duplicated: 1, clean: false });
    expect(judge(sent({ a: 4 }), [{ ...even, seqSum: 10 }])).toMatchObject({ clean: true });
  });

  test('finds events that nobody sent', () => {
    expect(judge(sent({ a: 4 }), [line('a', 1000, 1, 6, 6)])).toMatchObject({ duplicated: 2 });
    expect(judge(sent({ a: 4 }), [line('a', 1000, 1, 4, 4), line('x', 1000, 1, 1, 1)])).toMatchObject({
      duplicated: 1,
    });
  });

  test('finds batches whose events came in another order', () => {
    const lines = [line('a', 1000, 3, 4, 2), line('a', 2000, 1, 2, 4)];
    const verdict = judge(sent({ a: 4 }), lines);
    expect(verdict).toMatchObject({ lost: 0, duplicated: 0, outOfOrder: 1, clean: false });
    expect(verdict.findings).toEqual(['a: 1 batches out of order']);
  });

  test('finds state that was lost or applied twice, once per slip', () => {
    const lost = [line('a', 1000, 1, 3, 3), line('a', 2000, 4, 5, 2), line('a', 3000, 6, 6, 3)];
    const twice = [line('a', 1000, 1, 3, 3), line('a', 2000, 4, 5, 7)];
    expect(judge(sent({ a: 6 }), lost)).toMatchObject({ lost: 0, duplicated: 0, wrongTotals: 1, clean: false });
    expect(judge(sent({ a: 5 }), twice)).toMatchObject({ wrongTotals: 1, clean: false });
  });

  test('holds an uncertain event against nobody', () => {
    const text = [
      { kind: 'sending', send: 1, partition: '0', lastSequenceNumber: -1, ranges: [['a', 1, 3]] },
      { kind: 'sent', send: 1 },
      { kind: 'sending', send: 2, partition: '0', lastSequenceNumber: 2, ranges: [['a', 4, 5]] },
      { kind: 'uncertain', send: 2 },
      { kind: 'sending', send: 3, partition: '0', lastSequenceNumber: 9, ranges: [['a', 6, 6]] },
      { kind: 'sent', send: 3 },
    ];
    const ledger = parseLedger(text.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
    const there = [line('a', 1000, 1, 6, 6)];
    const notThere = [line('a', 1000, 1, 3, 3), line('a', 2000, 6, 6, 4)];
    const notThereInOneBatch = [{ ...line('a', 1000, 1, 6, 4), received: 4 }];
    for (const lines of [there, notThere, notThereInOneBatch]) {
      expect(judge(ledger, lines)).toMatchObject({ sent: 4, uncertain: 2, lost: 0, duplicated: 0, clean: true });
    }
    expect(judge(ledger, [...there, line('a', 2000, 4, 5, 8)])).toMatchObject({ duplicated: 2 });
  });

  test('counted is always sent minus lost plus duplicated, for any damage', () => {
    const batches = fc.array(
      fc.record({
        first: fc.integer({ min: 1, max: 30 }),
        length: fc.integer({ min: 1, max: 8 }),
        received: fc.integer({ min: 1, max: 10 }),
      }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), batches, (last, damaged) => {
        const lines = damaged.map(({ first, length, received }, index) => ({
          deviceId: 'a',
          batchTime: index,
          received,
          firstSeq: first,
          lastSeq: first + length - 1,
          total: 0,
        }));
        const verdict = judge(sent({ a: last }), lines);
        expect(verdict.counted).toBe(verdict.sent - verdict.lost + verdict.duplicated);
      }),
    );
  });

  test('is printed with the numbers in one column', () => {
    const text = formatVerdict(judge(sent({ a: 4, b: 1006 }), good));
    expect(text.split('\n')).toEqual([
      'Verdict: NOT exactly once',
      '  events sent           1,010',
      '  events counted           10',
      '  lost                  1,000',
      '  duplicated                0',
      '  b: 1000 lost (seq 7-1006)',
    ]);
    expect(formatVerdict(judge(sent({ a: 4, b: 6 }), good))).toMatch(/^Verdict: exactly once\n/);
  });
});

describe('ledger', () => {
  const sending = {
    kind: 'sending',
    send: 7,
    partition: '1',
    lastSequenceNumber: 4,
    ranges: [
      ['a', 1, 2],
      ['b', 5, 5],
    ],
  } as const;

  test('a send without an outcome is open, and its readings are uncertain', () => {
    const ledger = parseLedger(`${JSON.stringify(sending)}\n`);
    expect(ledger).toMatchObject({ sent: 0, uncertain: 3, lastSend: 7, open: [sending] });
  });

  test('a dropped send counts nothing', () => {
    const ledger = parseLedger(`${JSON.stringify(sending)}\n${JSON.stringify({ kind: 'dropped', send: 7 })}\n`);
    expect(ledger).toMatchObject({ sent: 0, uncertain: 0, open: [] });
    expect(ledger.devices.size).toBe(0);
  });

  test('a last line that was cut by a kill is left out', () => {
    expect(parseLedger(`${JSON.stringify(sending)}\n{"kind":"se`)).toMatchObject({ uncertain: 3 });
  });

  test('an outcome for a send it does not know is a named error', () => {
    expect(() => parseLedger('{"kind":"sent","send":3}\n')).toThrow(/outcome for send 3/);
  });

  test('the ranges of a send are dense per device, whatever the mix', () => {
    const readings = [
      ['a', 3],
      ['b', 1],
      ['a', 4],
      ['b', 2],
      ['c', 9],
      ['a', 5],
    ].map(([deviceId, seq]) => ({ deviceId: deviceId as string, seq: seq as number }));
    expect(rangesOf(readings)).toEqual([
      ['a', 3, 5],
      ['b', 1, 2],
      ['c', 9, 9],
    ]);
  });
});

describe('output line', () => {
  test('is read with and without the optional fields', () => {
    expect(
      parseLine('{"deviceId":"a","batchTime":1,"received":2,"firstSeq":1,"lastSeq":2,"total":2,"seqSum":3}', 'x:1'),
    ).toEqual({ ...line('a', 1, 1, 2, 2), seqSum: 3 });
    expect(parseLine('{"deviceId":"a","batchTime":1,"received":0,"firstSeq":null,"total":2}', 'x:1')).toEqual({
      deviceId: 'a',
      batchTime: 1,
      received: 0,
      firstSeq: 0,
      lastSeq: 0,
      total: 2,
    });
  });

  test.each([
    '{"deviceId":"a"',
    '{"deviceId":"a","batchTime":1}',
    '{"deviceId":1,"batchTime":1,"received":1,"total":1}',
    '[]',
  ])('%s names its place', (text) => {
    expect(() => parseLine(text, 'output/counts/1-0.jsonl:3')).toThrow(/^output\/counts\/1-0\.jsonl:3 /);
  });
});
