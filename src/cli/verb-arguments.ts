import { readFileSync } from 'node:fs';
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { TidemarkError, toError } from '../base/errors.ts';
import { type EncryptionOptions, parseKeyFile } from '../storage/encryption-keys.ts';
import type { CheckpointStorageOptions } from '../storage/open-checkpoint-store.ts';

/** What a verb takes. */
export interface VerbForm {
  readonly name: string;
  /** One line. */
  readonly what: string;
  /** Of the positional arguments, in order; one in brackets may be left out. */
  readonly positionals: readonly string[];
  readonly options: readonly OptionForm[];
  /** Below the list of options. */
  readonly notes?: string | undefined;
}

export interface OptionForm {
  readonly name: string;
  /** How the value is named; undefined: a flag. */
  readonly value?: string | undefined;
  readonly what: string;
}

export interface VerbArguments {
  readonly positionals: readonly string[];
  readonly has: (flag: string) => boolean;
  readonly text: (option: string) => string | undefined;
  /** A whole number, at least `min`. @throws OPTION_INVALID */
  readonly count: (option: string, min: number) => number | undefined;
}

export const storageOptions: readonly OptionForm[] = [
  {
    name: 'connection-string',
    value: 'text',
    what: 'of the storage account (default: AZURE_STORAGE_CONNECTION_STRING)',
  },
  {
    name: 'key-file',
    value: 'path',
    what: 'keys of an encrypted checkpoint (default: the JSON in TIDEMARK_ENCRYPTION_KEYS)',
  },
];
export const jsonOption: OptionForm = { name: 'json', what: 'print JSON instead of tables' };

/** Undefined: `--help` was asked for and printed. @throws OPTION_INVALID for anything the verb does not know */
export function parseVerb(form: VerbForm, args: readonly string[]): VerbArguments | undefined {
  const see = `See tidemark ${form.name} --help.`;
  const refuse = (problem: string, cause?: unknown): TidemarkError =>
    new TidemarkError('OPTION_INVALID', `${problem} ${see}`, cause === undefined ? {} : { cause });
  const options: ParseArgsOptionsConfig = { help: { type: 'boolean', short: 'h' } };
  for (const { name, value } of form.options) options[name] = { type: value === undefined ? 'boolean' : 'string' };
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (cause) {
    // The first sentence; the second one is about arguments that begin with a dash.
    const problem = toError(cause).message.replace(/\. [\s\S]*$/, '.');
    const known = Object.keys(options).map((name) => `--${name}`);
    throw refuse(`${problem} It takes ${known.join(', ')}.`, cause);
  }
  const { values, positionals } = parsed;
  if (values.help === true) {
    process.stdout.write(`${helpOf(form)}\n`);
    return undefined;
  }
  const missing = form.positionals.slice(positionals.length).find((name) => !name.startsWith('['));
  if (missing !== undefined) throw refuse(`<${missing}> is missing.`);
  const extra = positionals[form.positionals.length];
  if (extra !== undefined) throw refuse(`"${extra}" is one argument too many.`);
  const text = (option: string): string | undefined => {
    const value = values[option];
    return typeof value === 'string' ? value : undefined;
  };
  return {
    positionals,
    has: (flag) => values[flag] === true,
    text,
    count: (option, min) => {
      const given = text(option);
      if (given === undefined) return undefined;
      const value = /^\d{1,15}$/.test(given) ? Number(given) : Number.NaN;
      if (value >= min) return value;
      throw refuse(`--${option} is ${given}: a whole number of at least ${min} is needed.`);
    },
  };
}

/** @throws OPTION_INVALID when the keys can't be read */
export function storageOf(args: VerbArguments, option = 'connection-string'): CheckpointStorageOptions {
  const connectionString = args.text(option);
  const encryption = encryptionOf(args, 'key-file') ?? encryptionOfEnvironment();
  return {
    ...(connectionString !== undefined && { connectionString }),
    ...(encryption !== undefined && { encryption }),
  };
}

/** Of a copy: credentials and keys of its own, where they are given, else those of the source. @throws OPTION_INVALID */
export function targetStorageOf(args: VerbArguments): CheckpointStorageOptions {
  const option = args.text('target-connection-string') === undefined ? 'connection-string' : 'target-connection-string';
  const encryption = encryptionOf(args, 'target-key-file');
  return {
    ...storageOf(args, option),
    ...(encryption !== undefined && { encryption }),
    createContainer: args.has('create-container'),
  };
}

/** A key never stands on the command line: others on the machine can read that. */
function encryptionOf(args: VerbArguments, option: string): EncryptionOptions | undefined {
  const path = args.text(option);
  if (path === undefined) return undefined;
  // A key, or what a key file holds: it must not be shown once more.
  if (path.includes('{') || /^[A-Za-z0-9+/]{43}=$/.test(path)) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `--${option} takes the path of a key file and was given a key. Others on this machine can read the arguments of a command: use another key from now on.`,
    );
  }
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new TidemarkError('OPTION_INVALID', `--${option} cannot be read: ${toError(cause).message}.`, {
      cause,
    });
  }
  return parseKeyFile(text, `The key file ${path}`);
}

function encryptionOfEnvironment(): EncryptionOptions | undefined {
  const text = process.env.TIDEMARK_ENCRYPTION_KEYS;
  return text === undefined || text === '' ? undefined : parseKeyFile(text, 'TIDEMARK_ENCRYPTION_KEYS');
}

/** A batch id among the positional arguments. @throws OPTION_INVALID */
export function batchIdOf(name: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new TidemarkError('OPTION_INVALID', `<${name}> is ${text}: the number of a batch is needed.`);
}

function helpOf({ name, what, positionals, options, notes }: VerbForm): string {
  const all = [...options, { name: 'help', value: undefined, what: 'this text' }];
  const heads = all.map((option) => `--${option.name}${option.value === undefined ? '' : ` <${option.value}>`}`);
  const width = Math.max(...heads.map((head) => head.length));
  const places = positionals.map((place) => (place.startsWith('[') ? place : `<${place}>`)).join(' ');
  return [
    `tidemark ${name}: ${what}`,
    '',
    `Usage: tidemark ${name} ${places} [options]`,
    '',
    'Options',
    ...all.map((option, index) => `  ${heads[index]!.padEnd(width)}  ${option.what}`),
    ...(notes === undefined ? [] : ['', notes]),
  ].join('\n');
}
