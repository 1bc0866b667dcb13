import { TidemarkError } from '../base/errors.ts';
import type { AskOptions } from '../operate/ask-driver.ts';
import type { BatchName } from '../operate/find-point.ts';
import { type OptionForm, storageOf, type VerbArguments } from './verb-arguments.ts';
import { WaitLine } from './wait-line.ts';

export const takeOverOption: OptionForm = {
  name: 'take-over',
  what: 'fence a driver that may be running: it ends with FENCED',
};
export const timeoutOption: OptionForm = {
  name: 'timeout',
  value: 'seconds',
  what: 'how long to wait for a running driver (default 120)',
};

/** To be said before a tool writes: nothing, unless it is to take over. */
export function takeOverText(given: VerbArguments): string {
  return given.has('take-over') ? ' A driver that may be running is fenced, and ends with FENCED.' : '';
}

/** Runs what may have to ask a driver, with a line that shows the wait. */
export async function asking<R>(given: VerbArguments, work: (options: AskOptions) => Promise<R>): Promise<R> {
  const line = new WaitLine();
  const seconds = given.count('timeout', 1);
  try {
    return await work({
      storage: storageOf(given),
      takeOver: given.has('take-over'),
      timeoutMs: seconds === undefined ? undefined : seconds * 1000,
      onWait: (wait) => line.show(wait),
    });
  } finally {
    line.end();
  }
}

/** A batch id, a date, or the name of a savepoint. @throws OPTION_INVALID */
export function batchNameOf(option: string, text: string): BatchName {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  if (!/^\d/.test(text)) return text;
  const date = new Date(text);
  if (!Number.isNaN(date.getTime())) return date;
  throw new TidemarkError(
    'OPTION_INVALID',
    `--${option} is ${text}: the number of a batch, a time such as 2026-01-31T12:00:00Z or the name of a savepoint is needed.`,
  );
}
