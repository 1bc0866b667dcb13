/** Of an even number of values the mean of the two in the middle: neither side of a comparison is flattered. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  const above = sorted[Math.floor(half)] ?? Number.NaN;
  return Number.isInteger(half) && half > 0 ? (sorted[half - 1]! + above) / 2 : above;
}
