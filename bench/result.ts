import { median } from './median.ts';

/**
 * One finding of a benchmark: a figure of ours, beside a peer's where there is one.
 * The ratio is "times better than the peer", whichever way the unit runs, so that more is always better.
 */
export interface ResultRow {
  readonly what: string;
  /** What it is measured beside; empty for a figure that stands alone. */
  readonly against: string;
  readonly ours?: number;
  readonly peer?: number;
  readonly unit: string;
  readonly ratio?: number;
  /** Lowest and highest round: of the ratio where there is one, of our figure otherwise. */
  readonly spread?: readonly [number, number];
  /** In words, with its number; absent when there is none to reach. */
  readonly target?: string;
  readonly isReached?: boolean;
  /** Why it was not measured; such a row has no figures. */
  readonly notRun?: string;
  readonly note?: string;
}

interface Comparison {
  readonly what: string;
  readonly against: string;
  readonly unit: string;
  /** One figure per round. Equally many on both sides are taken as pairs that ran in turn. */
  readonly ours: readonly number[];
  readonly peer: readonly number[];
  readonly better: 'more' | 'less';
  /** The target: how many times better than the peer. */
  readonly atLeast?: number;
  readonly note?: string;
}

export function compared(what: Comparison): ResultRow {
  const { ours, peer, better, atLeast, note } = what;
  const times = (us: number, them: number): number => (better === 'more' ? us / them : them / us);
  const [us, them] = [median(ours), median(peer)];
  const ratios =
    ours.length === peer.length
      ? ours.map((figure, i) => times(figure, peer[i]!))
      : ours.map((one) => times(one, them));
  const ratio = median(ratios);
  return {
    what: what.what,
    against: what.against,
    ours: us,
    peer: them,
    unit: what.unit,
    ratio,
    spread: [Math.min(...ratios), Math.max(...ratios)],
    ...(atLeast !== undefined && { target: `at least ${atLeast}x`, isReached: ratio >= atLeast }),
    ...(note !== undefined && { note }),
  };
}

interface Figure {
  readonly what: string;
  readonly unit: string;
  /** One figure per round. */
  readonly ours: readonly number[];
  /** The target, as a limit in the unit. */
  readonly atMost?: number;
  readonly atLeast?: number;
  readonly note?: string;
}

/** A figure that no peer stands beside. */
export function alone({ what, unit, ours, atMost, atLeast, note }: Figure): ResultRow {
  const figure = median(ours);
  const target = atMost !== undefined ? `at most ${atMost}` : atLeast !== undefined ? `at least ${atLeast}` : undefined;
  return {
    what,
    against: '',
    ours: figure,
    unit,
    spread: [Math.min(...ours), Math.max(...ours)],
    ...(target !== undefined && {
      target: `${target} ${unit}`,
      isReached: figure <= (atMost ?? Number.POSITIVE_INFINITY) && figure >= (atLeast ?? Number.NEGATIVE_INFINITY),
    }),
    ...(note !== undefined && { note }),
  };
}

/** A comparison that could not be made here: the peer can't be had, or the machine can't show it. */
export function notRun(what: string, against: string, why: string): ResultRow {
  return { what, against, unit: '', notRun: why };
}
