import type { Random } from '../../base/random.ts';

/**
 * What goes wrong in a simulated world, and how often. Chances are per request, or per batch interval and driver.
 * Durations are drawn from the seed.
 */
export interface SimulationFaults {
  /** Per request: 429 or 503, again and again until the client gives up. No effect. */
  readonly refused: number;
  /** Per request: 429 with Retry-After, or a slow body. It succeeds, up to half a minute later. */
  readonly slow: number;
  /** Per request: the connection is gone. The request took effect or not, and the client cannot know. */
  readonly reset: number;
  /** Per write: it succeeds and the answer is lost. */
  readonly lostAnswer: number;
  /** Per write: the client gave up on it, and it takes effect later: after seconds, or after several batches. */
  readonly lateWrite: number;
  /** Per write: it is delivered a second time, later. */
  readonly duplicate: number;
  /** Per listing page and delete: half of a delete is done, then the connection is gone. */
  readonly halfDelete: number;
  /** Per interval and driver: its token has expired, all its requests get 403 for a while. */
  readonly forbidden: number;
  /** Per interval: the store refuses everybody for a while. */
  readonly outage: number;
  /** Per named crash point that a driver passes: it dies there. */
  readonly crashAtPoint: number;
  /** Per interval and driver: it dies, wherever it waits. */
  readonly crash: number;
  /** Per interval and driver: it stands still for up to three intervals, or for longer than anything is retained. */
  readonly freeze: number;
  /** Per named crash point and per write request: the driver that reaches it, or has just sent it, stands still. */
  readonly freezeAtPoint: number;
  /** Per interval and driver: its clock jumps, forwards or backwards, by up to a day (or 24 intervals, if that is less). */
  readonly clockJump: number;
  /** Per interval: one more driver is started beside the one that runs. */
  readonly secondDriver: number;
  /** Per interval and driver: it is stopped, gracefully or not. */
  readonly stop: number;
  /** Per interval: the next version of the program is deployed, if there is one. */
  readonly deploy: number;
  /** Per partition read: the source fails, and the task is tried again. */
  readonly failedRead: number;
  /** Per write of an output that writes after the commit: the database fails, before the write or after it. */
  readonly failedWrite: number;
  /** Per interval and reader of an outbox: it dies between any two steps; another one goes on from the stored position. */
  readonly readerCrash: number;
  /** Per interval: somebody makes a savepoint, or removes one. The running driver is asked, or a stopped stream is held. */
  readonly savepoint: number;
  /** Per interval: somebody asks the running driver to process what has arrived, and to stop. */
  readonly drain: number;
  /** Per interval: somebody takes the stream back to an earlier batch, after a drain, after a crash, or over a running driver. */
  readonly rewind: number;
  /** Per interval: somebody forks the stream at its last batch, an earlier one or a savepoint. */
  readonly fork: number;
  /** Per call of a function that went through `flaky`: it throws, and the task is tried again. */
  readonly failedCall: number;
}

export const noFaults: SimulationFaults = {
  refused: 0,
  slow: 0,
  reset: 0,
  lostAnswer: 0,
  lateWrite: 0,
  duplicate: 0,
  halfDelete: 0,
  forbidden: 0,
  outage: 0,
  crashAtPoint: 0,
  crash: 0,
  freeze: 0,
  freezeAtPoint: 0,
  clockJump: 0,
  secondDriver: 0,
  stop: 0,
  deploy: 0.15,
  failedRead: 0,
  failedWrite: 0,
  readerCrash: 0,
  savepoint: 0,
  drain: 0,
  rewind: 0,
  fork: 0,
  failedCall: 0,
};

/** The highest chances: with all of them at once a driver gets through a few batches of its life. */
const worstFaults: SimulationFaults = {
  refused: 0.05,
  slow: 0.1,
  reset: 0.08,
  lostAnswer: 0.15,
  lateWrite: 0.15,
  duplicate: 0.15,
  halfDelete: 0.3,
  forbidden: 0.1,
  outage: 0.1,
  crashAtPoint: 0.02,
  crash: 0.25,
  freeze: 0.25,
  freezeAtPoint: 0.02,
  clockJump: 0.2,
  secondDriver: 0.25,
  stop: 0.15,
  deploy: 0.3,
  failedRead: 0.1,
  failedWrite: 0.1,
  readerCrash: 0.3,
  savepoint: 0.3,
  drain: 0.2,
  rewind: 0.3,
  fork: 0.15,
  failedCall: 0.05,
};

/**
 * The faults of a seed. Every kind is left out in about half of the seeds, because faults that are always there hide the
 * bugs which need a long quiet run between two of them.
 */
export function drawFaults(random: Random): SimulationFaults {
  if (random.next() < 0.03) return noFaults;
  const strength = random.next();
  const drawn: Record<string, number> = {};
  for (const [kind, worst] of Object.entries(worstFaults)) {
    drawn[kind] = random.next() < 0.5 ? 0 : worst * strength * random.next();
  }
  return { ...noFaults, ...drawn };
}
