/**
 * The smallest of some intervals, in ascending order, that is held, by halving: one that is held is taken to hold all longer
 * ones too. One that is not is tried again, up to `tries` in all, unless it is far off: a stall of the machine says
 * nothing about an engine. Resolves with every verdict, in the order of the tries, and the smallest that is held, if any.
 */
export async function smallestHeld<V>(
  intervalsMs: readonly number[],
  tries: number,
  attempt: (
    intervalMs: number,
  ) => Promise<{ readonly verdict: V; readonly isHeld: boolean; readonly isFarOff: boolean }>,
): Promise<{ readonly verdicts: readonly V[]; readonly smallest: V | undefined }> {
  const verdicts: V[] = [];
  let smallest: V | undefined;
  let [notHeld, held] = [-1, intervalsMs.length];
  while (held - notHeld > 1) {
    const middle = Math.floor((notHeld + held) / 2);
    let isHeld = false;
    for (let run = 0; run < tries && !isHeld; run++) {
      const one = await attempt(intervalsMs[middle]!);
      verdicts.push(one.verdict);
      isHeld = one.isHeld;
      if (isHeld) smallest = one.verdict;
      if (one.isFarOff) break;
    }
    if (isHeld) held = middle;
    else notHeld = middle;
  }
  return { verdicts, smallest };
}
