import { EventEmitter } from 'node:events';
import { describe, expect, test } from 'vitest';
import { Display, formatBatch, formatRecovery } from '../../../scripts/demo/display.ts';
import { demoHelp, parseDemoOptions, parseDuration } from '../../../scripts/demo/options.ts';
import { interrupts } from '../../../scripts/demo/run.ts';
import { formatTable } from '../../../src/cli/table.ts';

describe('demo options', () => {
  test('have the defaults the help names', () => {
    expect(parseDemoOptions([])).toEqual({
      durationMs: 60_000,
      crashEveryMs: 10_000,
      rate: 2000,
      devices: 500,
      partitions: undefined,
      seed: 1,
      keep: false,
    });
    for (const text of ['--duration 60s', '--crash-every 10s', '--rate 2000', '--devices 500'])
      expect(demoHelp).toContain(text);
  });

  test('are read', () => {
    const args = [
      '--duration',
      '2m',
      '--no-crash',
      '--rate=5',
      '--devices',
      '3',
      '--partitions',
      '2',
      '--seed',
      '9',
      '--keep',
    ];
    expect(parseDemoOptions(args)).toEqual({
      durationMs: 120_000,
      crashEveryMs: undefined,
      rate: 5,
      devices: 3,
      partitions: 2,
      seed: 9,
      keep: true,
    });
    expect(parseDemoOptions(['--rate', '1', '--help'])).toBeUndefined();
  });

  test.each([
    [['--duration', '10'], '--duration is "10"; accepted: a number with ms, s, m or h'],
    [['--duration', '0s'], '--duration is "0s"'],
    [['--duration', '200h'], 'up to 168h'],
    [['--crash-every', '1s'], '--crash-every is 1s; accepted: 2s or longer'],
    [['--no-crash', '--crash-every', '5s'], 'exclude each other'],
    [['--rate', '0'], '--rate is "0"; accepted: a whole number from 1 to 100000'],
    [['--rate', '1e3'], '--rate is "1e3"'],
    [['--partitions', '33'], '--partitions is "33"; accepted: a whole number from 1 to 32'],
    [['--colour'], '--colour'],
    [['run'], 'run'],
  ])('%j is refused', (args, message) => {
    expect(() => parseDemoOptions(args)).toThrow(message);
  });

  test.each([
    ['500ms', 500],
    ['10s', 10_000],
    ['1.5m', 90_000],
    ['2h', 7_200_000],
  ])('the duration %s is %i ms', (text, ms) => {
    expect(parseDuration('--x', text)).toBe(ms);
  });
});

describe('display', () => {
  const rows = [
    { device: 'a', average: 21.25, events: 1200 },
    { device: 'bb', average: 7, events: 3 },
  ];

  function screen(isTTY: boolean, columns = 80) {
    let nowMs = 0;
    let text = '';
    const output = { isTTY, columns, rows: 10, write: (part: string) => void (text += part) };
    const display = new Display(output, () => nowMs);
    const take = (): string => {
      const taken = text;
      text = '';
      return taken;
    };
    return { display, take, wait: (ms: number) => void (nowMs += ms) };
  }

  test('a table has its numbers to the right', () => {
    expect(formatTable(rows)).toEqual([
      'device  average  events',
      '------  -------  ------',
      'a          21.3   1,200',
      'bb            7       3',
    ]);
    expect(formatTable([])).toEqual([]);
  });

  test('on a terminal the table is erased before a line and drawn again below it', () => {
    const { display, take } = screen(true);
    display.table(rows);
    expect(take()).toBe(`${formatTable(rows).join('\n')}\n`);
    display.line('status');
    expect(take()).toBe(`\x1b[4A\x1b[Jstatus\n${formatTable(rows).join('\n')}\n`);
    display.end();
    display.line('verdict');
    expect(take()).toBe('verdict\n');
  });

  test('a line that would wrap is cut, so that it can be erased', () => {
    const { display, take } = screen(true, 12);
    display.table(rows);
    expect(take().split('\n')[0]).toBe('device  ave');
  });

  test('in a pipe the table comes every ten seconds and nothing moves the cursor', () => {
    const { display, take, wait } = screen(false);
    display.table(rows);
    expect(take()).toContain('device');
    wait(9_000);
    display.table(rows);
    display.line('status');
    expect(take()).toBe('status\n');
    wait(1_000);
    display.table(rows);
    expect(take()).toContain('device');
  });

  test('a batch is one line with all its figures', () => {
    const batch = {
      type: 'batch',
      batchTimeMs: Date.UTC(2026, 0, 1),
      records: 2003,
      processingMs: 45.4,
      schedulingDelayMs: 3,
      totalDelayMs: 1061,
      checkpointBytes: 12_600,
      checkpointOperations: 1,
    } as const;
    expect(formatBatch(batch)).toMatch(
      /^\d\d:00:00 {4}2,003 records {2}processing {4}45 ms {2}scheduling delay {5}3 ms {2}checkpoint {3}12\.3 KB in 1 operation {2}total delay 1,061 ms$/,
    );
  });

  test('a recovery names slot, epoch, keys, batches and time', () => {
    const recovered = {
      type: 'recovered',
      slot: 12,
      epoch: 9,
      stateKeys: 1500,
      batchesReplayed: 1,
      tookMs: 230,
    } as const;
    expect(formatRecovery(recovered)).toBe(
      'driver recovered: slot 12, epoch 9, 1,500 state keys, 1 batch replayed, in 230 ms',
    );
  });
});

describe('Ctrl-C', () => {
  test('ends in good order; the copy that npm sends of it does not count, a second one does', () => {
    let nowMs = 0;
    let atOnce = 0;
    const source = new EventEmitter();
    const stop = interrupts(
      source,
      () => nowMs,
      () => void (atOnce += 1),
    );
    expect(stop.aborted).toBe(false);
    source.emit('SIGINT');
    nowMs = 20;
    source.emit('SIGINT');
    expect([stop.aborted, atOnce]).toEqual([true, 0]);
    nowMs = 3000;
    source.emit('SIGINT');
    expect(atOnce).toBe(1);
  });
});
