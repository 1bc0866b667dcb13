/**
 * Ways to get the protocol wrong, one rule each. A model that finds nothing wrong with them would prove nothing about
 * the rules they break. The comment names the invariant of the code (or the rule of the protocol) that is left out.
 */
export const mutations = [
  /** W3. */
  'no look at the floor after a commit',
  /** take-over: a fence always asks the floor. */
  'no look at the floor after a fence',
  /** W3: the silence is counted from before the last record arrived. */
  'silence counted from the last acknowledgement',
  /** W3: the silence ends with the last look at the slot. */
  'silence ended with the refusal',
  /** retention: nothing younger than twice the silence is deleted. */
  'deletes without an age',
  /** W1: lost, but the bytes there are one's own. */
  'lost taken as not mine',
  /** W1: another epoch's record ends the driver. */
  'goes on behind the record of another',
  /** W2. */
  'a second content for a slot after a timeout',
  /** L2. */
  'record before its segments',
  /** retention: the floor is raised, then objects go. */
  'deletes before the floor is raised',
  /** retention: the record that adopts a manifest announces the floor. */
  'floor raised before the record that announces it',
  /** B2. */
  'effects before the commit',
  /** L1, of a group. */
  'only the first batch of a group counted as committed',
  /** L4. */
  'manifest of a batch that is not committed',
  /** L4, under rewinds. */
  'manifest begun before a rewind adopted after it',
  /** take-over: what the other driver wrote is read before the next attempt. */
  'fence sent to the next slot without reading what was lost to',
  /** G1. */
  'records deleted up to the new manifest instead of the floor',
  /** G2. */
  'manifest at the floor deleted with those below it',
  /** G3. */
  'segments of other epochs deleted at once',
  /** G4. */
  'retired snapshots deleted at once',
  /** G5. */
  'sweep without a look at the epoch',
  /** Pins. */
  'deletes that ignore pins',
  /** Rewind: ids keep rising. */
  'rewind uses batch ids again',
  /** Rewind, G4: what it lists again is alive again. */
  'objects stay retired that a rewind lists again',
  /** Rewind: it adopts a manifest of the state it goes back to. */
  'rewind without a manifest of its target',
] as const;

export type Mutation = (typeof mutations)[number];
