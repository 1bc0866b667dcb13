/** What decides how many more events a partition may ask for. */
export interface CreditSituation {
  readonly bufferedEvents: number;
  readonly bufferedBytes: number;
  /** Asked for, not arrived yet. */
  readonly outstanding: number;
  /** What may be outstanding at most: credit can't be taken back, so it is what can overshoot when events get larger. */
  readonly outstandingMax: number;
  readonly eventsMax: number;
  readonly bytesMax: number;
  /** Of the events seen so far. */
  readonly averageEventBytes: number;
}

/**
 * Credit to add now: never more than the free space, whether idle or not, so that what is buffered and what may still
 * arrive together stay below `eventsMax`. Small top-ups wait until half of the possible credit is due: flow frames
 * cost more than events do.
 */
export function creditToGrant(situation: CreditSituation): number {
  const { bufferedEvents, outstanding, outstandingMax, eventsMax, bytesMax, averageEventBytes } = situation;
  const byCount = eventsMax - bufferedEvents - outstanding;
  const byBytes = Math.floor((bytesMax - situation.bufferedBytes) / averageEventBytes) - outstanding;
  const grant = Math.min(byCount, byBytes, outstandingMax - outstanding);
  // An event larger than the whole byte budget must still get through.
  if (bufferedEvents === 0 && outstanding === 0) return Math.max(1, grant);
  const worthwhile = Math.ceil(Math.min(eventsMax, bytesMax / averageEventBytes, outstandingMax) / 2);
  return grant >= worthwhile || (outstanding === 0 && grant > 0) ? grant : 0;
}
