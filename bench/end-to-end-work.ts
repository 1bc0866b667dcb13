/** What is kept of a device besides its average. */
export interface Alarm {
  readonly isHot: boolean;
  readonly changes: number;
  readonly highest: number;
}

const hotAbove = 30;
const coolBelow = 10;

export function alarmOf(before: Alarm | undefined, temperature: number): Alarm {
  const wasHot = before?.isHot ?? false;
  const isHot = wasHot ? temperature >= coolBelow : temperature > hotAbove;
  return {
    isHot,
    changes: (before?.changes ?? 0) + (isHot === wasHot ? 0 : 1),
    highest: Math.max(before?.highest ?? temperature, temperature),
  };
}
