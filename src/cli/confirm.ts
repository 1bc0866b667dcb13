import { createInterface } from 'node:readline/promises';
import { TidemarkError } from '../base/errors.ts';
import type { OptionForm, VerbArguments } from './verb-arguments.ts';

export const yesOption: OptionForm = { name: 'yes', what: 'do it without asking' };

/**
 * Says what will be done, and asks. `--yes` answers it; where nobody can answer, it is refused.
 * @throws OPTION_INVALID
 */
export async function confirm(what: string, given: VerbArguments): Promise<void> {
  if (given.has('yes')) return;
  const { stdin, stderr } = process;
  if (!stdin.isTTY || !stderr.isTTY) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `${what} Without a terminal to ask at, --yes is needed. Nothing was changed.`,
    );
  }
  const terminal = createInterface({ input: stdin, output: stderr });
  try {
    const answer = await terminal.question(`${what}\nGo on? [y/N] `);
    if (/^y(es)?$/i.test(answer.trim())) return;
  } finally {
    terminal.close();
  }
  throw new TidemarkError('CANCELLED', 'Nothing was changed.');
}
