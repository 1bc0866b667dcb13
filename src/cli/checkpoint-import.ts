import { readFile } from 'node:fs/promises';
import { TidemarkError, toError } from '../base/errors.ts';
import { importBlobCheckpoints, readCheckpointStore } from '../operate/import-blob-checkpoints.ts';
import { type ImportedPosition, type ImportReport, importPositions } from '../operate/import-positions.ts';
import { withoutSecrets } from '../storage/store-url.ts';
import { confirm, yesOption } from './confirm.ts';
import { takeOverOption, takeOverText } from './operator-arguments.ts';
import { formatSections, print, printJson } from './report.ts';
import {
  jsonOption,
  parseVerb,
  storageOf,
  storageOptions,
  type VerbArguments,
  type VerbForm,
} from './verb-arguments.ts';

const form: VerbForm = {
  name: 'checkpoint positions import',
  what: 'let a new or stopped stream begin where other consumers, or an export, stand',
  positionals: ['url'],
  options: [
    { name: 'file', value: 'path', what: 'JSON as positions export prints it' },
    { name: 'blob-checkpoint-store', value: 'container url', what: 'or: where the blobs of a BlobCheckpointStore are' },
    { name: 'namespace', value: 'host', what: 'of the event hubs, for these blobs: <name>.servicebus.windows.net' },
    { name: 'event-hub', value: 'name', what: 'whose checkpoints are read' },
    { name: 'consumer-group', value: 'name', what: 'of the consumers, and of the program (default $Default)' },
    { name: 'uid', value: 'text', what: 'of the input in the program that goes on from there' },
    { name: 'store-connection-string', value: 'text', what: 'of that container, if its account is another one' },
    yesOption,
    takeOverOption,
    jsonOption,
    ...storageOptions,
  ],
  notes: `Stop the consumers first. Where no stream is, one is made whose first start begins at these positions. On a stopped stream
they replace the positions of these inputs; its state stays as it is.`,
};

export async function runPositionsImport(args: readonly string[]): Promise<void> {
  const given = parseVerb(form, args);
  if (given === undefined) return;
  const [file, container] = [given.text('file'), given.text('blob-checkpoint-store')];
  if ((file === undefined) === (container === undefined)) {
    throw new TidemarkError('OPTION_INVALID', 'Give either --file or --blob-checkpoint-store.');
  }
  const report = file === undefined ? await fromBlobs(given, container!) : await fromFile(given, file);
  if (given.has('json')) return printJson(report);
  const inputs = report.uids.map((uid) => `'${uid}'`).join(', ');
  print(
    report.isNew
      ? `Stream ${report.streamId} was made at ${report.url}. The first start of the program begins ${inputs} at these positions.`
      : `The next start of stream ${report.streamId} begins ${inputs} at these positions.`,
  );
}

async function fromBlobs(given: VerbArguments, container: string): Promise<ImportReport> {
  const [url] = given.positionals;
  const need = (option: string): string => {
    const text = given.text(option);
    if (text !== undefined) return text;
    throw new TidemarkError('OPTION_INVALID', `--blob-checkpoint-store needs --${option}.`);
  };
  const storeOption =
    given.text('store-connection-string') === undefined ? 'connection-string' : 'store-connection-string';
  const options = {
    container,
    uid: need('uid'),
    fullyQualifiedNamespace: need('namespace'),
    eventHub: need('event-hub'),
    consumerGroup: given.text('consumer-group') ?? '$Default',
    storage: storageOf(given),
    containerStorage: storageOf(given, storeOption),
    takeOver: given.has('take-over'),
  };
  const checkpoints = await readCheckpointStore(options);
  const rows = checkpoints.map(({ partitionId, sequenceNumber }) => ({
    partition: partitionId,
    'begins after': sequenceNumber,
  }));
  const table = formatSections([
    { title: `Event hub ${options.eventHub}, consumer group ${options.consumerGroup}`, rows },
  ]);
  if (!given.has('json')) print(`${table}\n`);
  await confirm(
    `Input '${options.uid}' of ${withoutSecrets(url!)} will begin after these events.${takeOverText(given)}`,
    given,
  );
  return importBlobCheckpoints(url!, options);
}

async function fromFile(given: VerbArguments, file: string): Promise<ImportReport> {
  const [url] = given.positionals;
  const imported = parsePositions(file, await readText(file));
  const inputs = imported.map(({ uid, position }) => `'${uid}' at ${JSON.stringify(position)}`).join(', ');
  await confirm(
    `These inputs of ${withoutSecrets(url!)} will begin elsewhere: ${inputs}.${takeOverText(given)}`,
    given,
  );
  return importPositions(url!, imported, {
    storage: storageOf(given),
    takeOver: given.has('take-over'),
    origin: 'a file of positions',
  });
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new TidemarkError('OPTION_INVALID', `--file ${file} can't be read: ${toError(cause).message}.`, { cause });
  }
}

function parsePositions(file: string, text: string): readonly ImportedPosition[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new TidemarkError('OPTION_INVALID', `--file ${file} is no JSON: ${toError(cause).message}.`, { cause });
  }
  const { sources } = (parsed ?? {}) as { readonly sources?: unknown };
  if (Array.isArray(sources) && sources.every(isPosition) && !/"\$[a-z]+":/.test(text)) return sources;
  throw new TidemarkError(
    'OPTION_INVALID',
    `--file ${file} is not what positions export prints: { "sources": [{ "uid", "kind", "identity", "position" }] }, ` +
      'with positions that JSON can hold.',
  );
}

function isPosition(value: unknown): value is ImportedPosition {
  const { uid, kind, identity, position } = (value ?? {}) as Partial<ImportedPosition>;
  const isIdentity =
    typeof identity === 'object' &&
    identity !== null &&
    Object.values(identity).every((field) => typeof field === 'string');
  return typeof uid === 'string' && typeof kind === 'string' && isIdentity && position !== undefined;
}
