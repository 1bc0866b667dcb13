import { TidemarkError } from '../base/errors.ts';
import { exportCheckpoint } from '../inspect/export-checkpoint.ts';
import { exportPositions, writeBlobCheckpoints } from '../inspect/export-positions.ts';
import { withBar } from './progress-bar.ts';
import { formatSections, print, printJson } from './report.ts';
import { jsonOption, parseVerb, storageOf, storageOptions, targetStorageOf, type VerbForm } from './verb-arguments.ts';

const exportForm: VerbForm = {
  name: 'checkpoint export',
  what: 'a verified copy of a stream at another place',
  positionals: ['url', 'target url'],
  options: [
    jsonOption,
    ...storageOptions,
    { name: 'target-connection-string', value: 'text', what: 'of the target, if its account is another one' },
    { name: 'target-key-file', value: 'path', what: 'keys for the target (default: those of the source)' },
    { name: 'create-container', what: 'creates a missing container for the target' },
  ],
  notes: `The target must be empty. The copy is the same stream: run only one of the two on the same inputs and outputs.`,
};

export async function runExport(args: readonly string[]): Promise<void> {
  const given = parseVerb(exportForm, args);
  if (given === undefined) return;
  const options = { storage: storageOf(given), targetStorage: targetStorageOf(given) };
  const [url, target] = given.positionals;
  const report = await withBar('export', (onProgress) => exportCheckpoint(url!, target!, { ...options, onProgress }));
  if (given.has('json')) return printJson(report);
  print(
    `Copied stream ${report.streamId} up to record ${report.tailSlot} from ${report.from} to ${report.to}: ` +
      `${report.objects} objects, ${report.bytes} bytes. The copy was verified.`,
  );
}

const positionsForm: VerbForm = {
  name: 'checkpoint positions export',
  what: 'where a stream stands in its inputs, as JSON or as blobs that dashboards of lag read',
  positionals: ['url'],
  options: [
    { name: 'blob-checkpoint-store', value: 'container url', what: 'write the blobs of a BlobCheckpointStore there' },
    { name: 'namespace', value: 'host', what: 'of the event hubs, for these blobs: <name>.servicebus.windows.net' },
    { name: 'store-connection-string', value: 'text', what: 'of that container, if its account is another one' },
    ...storageOptions,
  ],
  notes: `The blobs are for reading lag: they hold sequence numbers, and -1 as offset. Run it again to follow the stream.`,
};

export async function runPositionsExport(args: readonly string[]): Promise<void> {
  const given = parseVerb(positionsForm, args);
  if (given === undefined) return;
  const [url] = given.positionals;
  const container = given.text('blob-checkpoint-store');
  const fullyQualifiedNamespace = given.text('namespace');
  const storage = storageOf(given);
  if (container === undefined) {
    if (fullyQualifiedNamespace !== undefined || given.text('store-connection-string') !== undefined) {
      throw new TidemarkError(
        'OPTION_INVALID',
        '--namespace and --store-connection-string go with --blob-checkpoint-store.',
      );
    }
    return printJson(await exportPositions(url!, { storage }));
  }
  if (fullyQualifiedNamespace === undefined) {
    throw new TidemarkError(
      'OPTION_INVALID',
      '--blob-checkpoint-store needs --namespace <name>.servicebus.windows.net.',
    );
  }
  const storeOption =
    given.text('store-connection-string') === undefined ? 'connection-string' : 'store-connection-string';
  const written = await writeBlobCheckpoints(url!, {
    storage,
    container,
    fullyQualifiedNamespace,
    containerStorage: storageOf(given, storeOption),
  });
  const rows = written.map(({ eventHub, consumerGroup, partitionId, sequenceNumber }) => {
    return {
      'event hub': eventHub,
      'consumer group': consumerGroup,
      partition: partitionId,
      'sequence number': sequenceNumber,
    };
  });
  print(formatSections([{ title: 'Written', rows, empty: 'nothing: no event was read yet' }]));
}
