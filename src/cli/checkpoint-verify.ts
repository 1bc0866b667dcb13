import { TidemarkError } from '../base/errors.ts';
import { planCleaning } from '../inspect/plan-cleaning.ts';
import { type KeyUse, type VerifyReport, verifyCheckpoint } from '../inspect/verify-checkpoint.ts';
import { withBar } from './progress-bar.ts';
import { formatSections, print, printJson } from './report.ts';
import type { TableRow } from './table.ts';
import { jsonOption, parseVerb, storageOf, storageOptions, type VerbForm } from './verb-arguments.ts';

const verifyForm: VerbForm = {
  name: 'checkpoint verify',
  what: 'checks every byte of a checkpoint, and changes nothing',
  positionals: ['url'],
  options: [jsonOption, ...storageOptions],
  notes: 'Exit code 0: no findings. 1: every finding is listed. What nothing refers to is listed, and is no finding.',
};

/** 1: there are findings. */
export async function runVerify(args: readonly string[]): Promise<0 | 1> {
  const given = parseVerb(verifyForm, args);
  if (given === undefined) return 0;
  const storage = storageOf(given);
  const report = await withBar('verify', (onProgress) =>
    verifyCheckpoint(given.positionals[0]!, { storage, onProgress }),
  );
  if (given.has('json')) printJson(report);
  else print(formatVerifyReport(report));
  return report.findings.length === 0 ? 0 : 1;
}

export function formatVerifyReport({ url, floor, tailSlot, findings, orphans, keys, checked }: VerifyReport): string {
  const count = findings.length === 1 ? '1 finding' : `${findings.length} findings`;
  return formatSections([
    {
      title: `Findings in ${url}`,
      rows: findings.map(({ object, problem }) => ({ object, problem })),
      empty: 'none: everything is as it was written',
    },
    {
      title: 'Objects nothing refers to (no findings)',
      rows: orphans.map(({ name, sizeBytes, why }) => ({ object: name, bytes: sizeBytes, why })),
    },
    ...(keys === undefined ? [] : [{ title: 'Keys the objects need', rows: keys.map(keyRow) }]),
    { title: `Checked: records ${floor + 1} to ${tailSlot}, ${count}`, rows: [checked] },
  ]);
}

function keyRow({ keyId, isCurrent, objects, bytes, kinds }: KeyUse): TableRow {
  const which = Object.entries(kinds).map(([kind, count]) => `${count} ${kind}`);
  return { key: keyId, current: isCurrent ? 'yes' : '', objects, bytes, which: which.join(', ') };
}

const gcForm: VerbForm = {
  name: 'checkpoint gc',
  what: 'what retention would delete; deleting is what a running driver does by itself',
  positionals: ['url'],
  options: [
    { name: 'dry-run', what: 'needed: there is nothing else yet' },
    { name: 'retain-manifests', value: 'number', what: 'as the program sets it (default 2)' },
    jsonOption,
    ...storageOptions,
  ],
};

export async function runGc(args: readonly string[]): Promise<void> {
  const given = parseVerb(gcForm, args);
  if (given === undefined) return;
  if (!given.has('dry-run')) {
    throw new TidemarkError(
      'OPTION_INVALID',
      'Give --dry-run: a running driver deletes by itself what is not needed any more, and this command only tells what that would be.',
    );
  }
  const options = { storage: storageOf(given), retainManifests: given.count('retain-manifests', 1) };
  const plan = await withBar('read', (onProgress) => planCleaning(given.positionals[0]!, { ...options, onProgress }));
  if (given.has('json')) {
    printJson(plan);
    return;
  }
  const bytes = plan.deletes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  print(
    formatSections([
      {
        title: `A manifest written now would raise the floor from ${plan.floor} to ${plan.nextFloor} and delete ${plan.deletes.length} objects (${bytes} bytes)`,
        rows: plan.deletes.map(({ name, sizeBytes }) => ({ object: name, bytes: sizeBytes })),
        empty:
          'none: what only older batches need must also be ten minutes old, or what retainMs and silenceThresholdMs say',
      },
      {
        title: 'Objects nothing refers to',
        rows: plan.orphans.map(({ name, sizeBytes, why }) => ({ object: name, bytes: sizeBytes, why })),
      },
      { title: 'Kept', rows: [plan.kept] },
    ]),
  );
}
