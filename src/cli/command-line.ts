import { errorCodes } from '../base/error-codes.ts';
import { TidemarkError, toError } from '../base/errors.ts';
import { maskSecrets } from '../base/secrets.ts';

/** `tidemark <name> ...`. Words of a name are separated by one space: `checkpoint inspect` is a verb of its own. */
export interface Verb {
  readonly name: string;
  /** One line for `--help`. */
  readonly summary: string;
  /**
   * Gets the arguments after the name; resolves when the work is done, with 1 when the answer is a bad one (a check has
   * findings). A failure is a TidemarkError.
   */
  readonly run: (args: readonly string[]) => Promise<0 | 1> | Promise<void>;
}

export interface CommandOutcome {
  /** 0 done; 1 the verb failed; 2 the command line was wrong. */
  readonly exitCode: 0 | 1 | 2;
  readonly output: string;
  readonly error: string;
}

/** Finds the verb and runs it; what it prints while it runs is its own. */
export async function runCommandLine(
  args: readonly string[],
  verbs: readonly Verb[],
  readVersion: () => string,
): Promise<CommandOutcome> {
  const [first] = args;
  if (first === '--help' || first === '-h' || first === 'help') return { exitCode: 0, output: usage(verbs), error: '' };
  if (first === '--version' || first === '-v') return { exitCode: 0, output: readVersion(), error: '' };
  if (first === undefined) return { exitCode: 2, output: '', error: usage(verbs) };
  const verb = findVerb(args, verbs);
  if (verb === undefined) return noSuchCommand(args, verbs);
  try {
    const answer = await verb.run(args.slice(verb.name.split(' ').length));
    return { exitCode: answer === 1 ? 1 : 0, output: '', error: '' };
  } catch (thrown) {
    return failure(verb, thrown);
  }
}

/** The longest name wins. */
function findVerb(args: readonly string[], verbs: readonly Verb[]): Verb | undefined {
  return verbs
    .filter(({ name }) => name.split(' ').every((word, index) => args[index] === word))
    .sort((a, b) => b.name.length - a.name.length)[0];
}

/** Of a command that has parts (`checkpoint`, `checkpoint state`), its own list is shown. */
function noSuchCommand(args: readonly string[], verbs: readonly Verb[]): CommandOutcome {
  const [first, second] = args;
  const group = verbs.filter(({ name }) => name.startsWith(`${first} `));
  const part = group.filter(({ name }) => name.startsWith(`${first} ${second} `));
  const nearest = [part, group, verbs].find(({ length }) => length > 0) ?? verbs;
  if (nearest !== verbs) {
    if (args.includes('--help') || args.includes('-h')) return { exitCode: 0, output: usage(nearest), error: '' };
    if (args.length === (nearest === part ? 2 : 1)) return { exitCode: 2, output: '', error: usage(nearest) };
  }
  const named = nearest === verbs ? first : args.slice(0, nearest === part ? 3 : 2).join(' ');
  const known = nearest.map(({ name }) => name).join(', ');
  const error = `tidemark: there is no command "${maskSecrets(named ?? '')}". Commands: ${known}. See tidemark --help.`;
  return { exitCode: 2, output: '', error };
}

function failure(verb: Verb, thrown: unknown): CommandOutcome {
  const error = toError(thrown);
  if (!(error instanceof TidemarkError)) {
    return { exitCode: 1, output: '', error: maskSecrets(`tidemark ${verb.name}: ${error.stack ?? error.message}`) };
  }
  const { action } = errorCodes[error.code];
  const text = `tidemark ${verb.name}: ${error.message}\n${error.code}: ${action}`;
  return { exitCode: error.code === 'OPTION_INVALID' ? 2 : 1, output: '', error: maskSecrets(text) };
}

function usage(verbs: readonly Verb[]): string {
  const width = Math.max(...verbs.map(({ name }) => name.length), '--version'.length);
  const lines = verbs.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    'usage: tidemark <command> [options]',
    '',
    'commands',
    ...lines,
    '',
    'options',
    `  ${'--help'.padEnd(width)}  this text; tidemark <command> --help explains a command`,
    `  ${'--version'.padEnd(width)}  the version of tidemark`,
  ].join('\n');
}
