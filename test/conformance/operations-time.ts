import { expect } from 'vitest';
import { Duration, Milliseconds, Minutes, Seconds, Time } from '../../src/index.ts';
import { batchFileName } from '../../src/sinks/prefix-files.ts';
import type { Row } from './support/cases.ts';
import { unknownRow } from './support/check.ts';

const comparisons = { lt: 'less', lte: 'lessEq', gt: 'greater', gte: 'greaterEq' } as const;

function time(row: Row): unknown {
  const [a, b, expected] = [row.a as number, row.b as number, row.expected];
  const at = new Time(a);
  const span = Milliseconds(b);
  const step = Milliseconds((row.step as number | undefined) ?? 1);
  const millis = (times: readonly Time[]): number[] => times.map(({ milliseconds }) => milliseconds);
  switch (row.op) {
    case 'lt':
    case 'lte':
    case 'gt':
    case 'gte':
      return expect(at[comparisons[row.op]](new Time(b))).toBe(expected);
    case 'plusDuration':
      return expect(at.plus(span).milliseconds).toBe(expected);
    case 'minusTime':
      return expect(at.minus(new Time(b))).toEqual(new Duration(expected as number));
    case 'minusDuration':
      return expect(at.minus(span)).toEqual(new Time(expected as number));
    case 'floor':
      return expect(at.floor(span, new Time((row.zero as number | undefined) ?? 0)).milliseconds).toBe(expected);
    case 'isMultipleOf':
      return expect(at.isMultipleOf(span)).toBe(expected);
    case 'min':
    case 'max':
      return expect(at[row.op](new Time(b)).milliseconds).toBe(expected);
    case 'until':
    case 'to':
      return expect(millis(at[row.op](new Time(b), step))).toEqual(expected);
    default:
      return unknownRow(row);
  }
}

function duration(row: Row): unknown {
  const [a, b, expected] = [row.a as number, row.b as number, row.expected];
  const span = new Duration(a);
  switch (row.op) {
    case 'plus':
    case 'minus':
    case 'min':
    case 'max':
      return expect(span[row.op](new Duration(b)).milliseconds).toBe(expected);
    case 'times':
      return expect(span.times(b).milliseconds).toBe(expected);
    case 'div':
      return expect(span.div(new Duration(b))).toBe(expected);
    case 'isMultipleOf':
      return expect(span.isMultipleOf(new Duration(b))).toBe(expected);
    case 'isZero':
      return expect(span.isZero()).toBe(expected);
    case 'milliseconds':
      return expect(Milliseconds(a).milliseconds).toBe(expected);
    case 'seconds':
      return expect(Seconds(a).milliseconds).toBe(expected);
    case 'minutes':
      return expect(Minutes(a).milliseconds).toBe(expected);
    default:
      return unknownRow(row);
  }
}

export const timeOperations: Readonly<Record<string, (row: Row) => unknown>> = {
  time,
  duration,
  fileName: (row) => {
    const { prefix, suffix } = row as { prefix: string | null; suffix: string | null };
    expect(batchFileName(prefix, suffix, row.time as number)).toBe(row.expected);
  },
};
