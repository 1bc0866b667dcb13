import { createSavepoint, listSavepoints, removeSavepoint } from '../operate/savepoints.ts';
import { withoutSecrets } from '../storage/store-url.ts';
import { savepointTable } from './checkpoint-inspect.ts';
import { confirm, yesOption } from './confirm.ts';
import { asking, takeOverOption, takeOverText, timeoutOption } from './operator-arguments.ts';
import { formatSections, print, printJson, timeText } from './report.ts';
import { jsonOption, parseVerb, storageOf, storageOptions, type VerbForm } from './verb-arguments.ts';

const createForm: VerbForm = {
  name: 'checkpoint savepoint',
  what: 'keep the last batch, with its state, until the savepoint is removed',
  positionals: ['url'],
  options: [
    { name: 'name', value: 'text', what: 'of the savepoint (default: made of the date)' },
    timeoutOption,
    takeOverOption,
    yesOption,
    jsonOption,
    ...storageOptions,
  ],
  notes: `On a stopped stream at once; a running driver is asked, and answers between two batches. Nothing is copied.`,
};

export async function runSavepoint(args: readonly string[]): Promise<void> {
  const given = parseVerb(createForm, args);
  if (given === undefined) return;
  if (given.has('take-over')) {
    await confirm(`This makes a savepoint of ${withoutSecrets(given.positionals[0]!)}.${takeOverText(given)}`, given);
  }
  const made = await asking(given, (options) =>
    createSavepoint(given.positionals[0]!, { ...options, name: given.text('name') }),
  );
  if (given.has('json')) return printJson(made);
  print(`Savepoint '${made.name}' keeps batch ${made.batchId} of ${timeText(made.batchTimeMs)}.`);
}

const listForm: VerbForm = {
  name: 'checkpoint savepoint ls',
  what: 'the savepoints of a stream',
  positionals: ['url'],
  options: [jsonOption, ...storageOptions],
};

export async function runSavepointList(args: readonly string[]): Promise<void> {
  const given = parseVerb(listForm, args);
  if (given === undefined) return;
  const savepoints = await listSavepoints(given.positionals[0]!, { storage: storageOf(given) });
  if (given.has('json')) return printJson(savepoints);
  print(formatSections([{ title: 'Savepoints', rows: savepointTable(savepoints) }]));
}

const removeForm: VerbForm = {
  name: 'checkpoint savepoint rm',
  what: 'give a savepoint up: what only it needs is deleted at the next cleaning',
  positionals: ['url', 'name'],
  options: [yesOption, timeoutOption, takeOverOption, ...storageOptions],
};

export async function runSavepointRemove(args: readonly string[]): Promise<void> {
  const given = parseVerb(removeForm, args);
  if (given === undefined) return;
  const [url, name] = given.positionals;
  await confirm(
    `This gives up the savepoint '${name}' of ${withoutSecrets(url!)}; its batch can't be gone back to afterwards.${takeOverText(given)}`,
    given,
  );
  await asking(given, (options) => removeSavepoint(url!, name!, options));
  print(`Savepoint '${name}' is removed.`);
}
