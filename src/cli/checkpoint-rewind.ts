import { TidemarkError } from '../base/errors.ts';
import { drainStream } from '../operate/drain-stream.ts';
import { forkStream } from '../operate/fork-stream.ts';
import { planRewind, type RewindPlan, rewindStream } from '../operate/rewind-stream.ts';
import { confirm, yesOption } from './confirm.ts';
import { asking, batchNameOf, takeOverOption, timeoutOption } from './operator-arguments.ts';
import { withBar } from './progress-bar.ts';
import { print, printJson, timeText } from './report.ts';
import { jsonOption, parseVerb, storageOf, storageOptions, targetStorageOf, type VerbForm } from './verb-arguments.ts';

const rewindForm: VerbForm = {
  name: 'checkpoint rewind',
  what: 'take a stopped stream back to an earlier batch',
  positionals: ['url'],
  options: [
    { name: 'to', value: 'batch, time or savepoint', what: 'the last batch that still counts' },
    yesOption,
    takeOverOption,
    jsonOption,
    ...storageOptions,
  ],
  notes: `State, positions and batch time of that batch become the present ones; what came after it is read again.
Batch ids go on rising, and sinks are told at the next start. All state is checked before anything is written.
A running stream is drained first (tidemark checkpoint drain), or taken over.`,
};

export async function runRewind(args: readonly string[]): Promise<void> {
  const given = parseVerb(rewindForm, args);
  if (given === undefined) return;
  const [url] = given.positionals;
  const to = given.text('to');
  if (to === undefined) {
    throw new TidemarkError('OPTION_INVALID', 'Give --to: the number of a batch, a time, or the name of a savepoint.');
  }
  const name = batchNameOf('to', to);
  const options = { storage: storageOf(given), takeOver: given.has('take-over') };
  const plan = await withBar('read', (onProgress) => planRewind(url!, name, { ...options, onProgress }));
  if (!plan.isStopped && !options.takeOver) throw notStopped(plan);
  await confirm(describe(plan), given);
  const report = await withBar('check', (onProgress) =>
    rewindStream(url!, plan.to.batchId, { ...options, onProgress }),
  );
  if (given.has('json')) return printJson(report);
  print(
    `The stream is back at batch ${report.to.batchId} of ${timeText(report.to.batchTimeMs)}, in generation ${report.generation}; ` +
      `${report.abandonedBatches} batches are given up. The next start goes on from there with batch ${report.batchId + 1}.`,
  );
}

function describe({ url, from, to, abandonedBatches, isStopped, givenUpOutputs }: RewindPlan): string {
  const lines = [
    `This takes ${url} back from batch ${from.batchId} (${timeText(from.batchTimeMs)}) to batch ${to.batchId} ` +
      `(${timeText(to.batchTimeMs)}): ${abandonedBatches} batches are given up.`,
  ];
  if (!isStopped) lines.push('A driver may be running: it is fenced, and ends with FENCED.');
  if (givenUpOutputs.length > 0) {
    lines.push(`What these outputs staged and did not publish is given up: ${givenUpOutputs.join(', ')}.`);
  }
  return lines.join('\n');
}

function notStopped({ url }: RewindPlan): TidemarkError {
  return new TidemarkError(
    'STREAM_NOT_STOPPED',
    `The last driver of ${url} did not stop cleanly, so it may be running. Stop it with tidemark checkpoint drain ${url}, ` +
      'or, if it is dead or is to be ended, give --take-over. Nothing was changed.',
  );
}

const drainForm: VerbForm = {
  name: 'checkpoint drain',
  what: 'ask the running driver to finish what has arrived and stop',
  positionals: ['url'],
  options: [timeoutOption, jsonOption, ...storageOptions],
  notes: `Whatever restarts the program must be told not to. The driver looks for requests every 30 s (requestPollMs).`,
};

export async function runDrain(args: readonly string[]): Promise<void> {
  const given = parseVerb(drainForm, args);
  if (given === undefined) return;
  const report = await asking(given, (options) => drainStream(given.positionals[0]!, options));
  if (given.has('json')) return printJson(report);
  const { lastBatch, wasStopped } = report;
  const at =
    lastBatch === undefined
      ? 'before its first batch'
      : `after batch ${lastBatch.batchId} of ${timeText(lastBatch.batchTimeMs)}`;
  print(wasStopped ? `The stream was stopped already, ${at}.` : `The stream has stopped cleanly, ${at}.`);
}

const forkForm: VerbForm = {
  name: 'checkpoint fork',
  what: 'a new stream that goes on from a batch of another one',
  positionals: ['url', 'new url'],
  options: [
    { name: 'at', value: 'batch, time or savepoint', what: 'the batch it begins after (default: the last)' },
    jsonOption,
    ...storageOptions,
    { name: 'target-connection-string', value: 'text', what: 'of the target, if its account is another one' },
    { name: 'target-key-file', value: 'path', what: 'keys for the target (default: those of the parent)' },
    { name: 'create-container', what: 'creates a missing container for the target' },
  ],
  notes: `The parent is only read, and may run. The new place must be empty; it holds a copy of all it needs. Give the program
that runs there outputs and consumer groups of its own.`,
};

export async function runFork(args: readonly string[]): Promise<void> {
  const given = parseVerb(forkForm, args);
  if (given === undefined) return;
  const [url, target] = given.positionals;
  const at = given.text('at');
  const options = {
    at: at === undefined ? undefined : batchNameOf('at', at),
    storage: storageOf(given),
    targetStorage: targetStorageOf(given),
  };
  const report = await withBar('check', (onProgress) => forkStream(url!, target!, { ...options, onProgress }));
  if (given.has('json')) return printJson(report);
  print(
    `Stream ${report.streamId} at ${report.to} begins after batch ${report.batchId} of ${timeText(report.batchTimeMs)} ` +
      `of stream ${report.parentStreamId}.`,
  );
  if (report.freshInputs.length === 0) return;
  print(
    `These inputs keep what they take in with the parent, and begin with what they take in from now on: ${report.freshInputs.join(', ')}.`,
  );
}
