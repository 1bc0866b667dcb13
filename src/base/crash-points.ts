/**
 * Named places between two durable steps, in the order a batch passes them. The crash suite stops a driver at every one
 * and compares what a restart makes of it with an uninterrupted run.
 */
export const crashPoints = [
  'recovery:read',
  'recovery:before-fence',
  'recovery:fenced',
  'recovery:state-restored',
  'recovery:sinks-told',
  'recovery:republished',
  'recovery:sources-started',
  'batch:begin',
  'batch:planned',
  'batch:plan-recorded',
  'batch:state-advanced',
  'batch:outputs-run',
  'batch:staged',
  'batch:sealed',
  'commit:segments-written',
  'commit:manifest-written',
  'commit:grouped',
  'commit:before-record',
  'commit:record-written',
  'batch:committed',
  'batch:input-freed',
  'publish:before',
  'publish:one-done',
  'publish:all-done',
  'batch:end',
  'retention:floor-raised',
  'retention:half-deleted',
  'stop:before-drain',
] as const;
export type CrashPoint = (typeof crashPoints)[number];

/** Called at every crash point; production does nothing. */
export type CrashHook = (point: CrashPoint) => void | Promise<void>;
