import type { PlanLedger } from './plan-ledger.ts';
import type { Verdict } from './verdict.ts';

/** What an output gave in one batch: its rows, one array per partition. */
export type OutputRows = readonly (readonly unknown[])[];

export interface StagedOutput {
  readonly output: string;
  readonly driver: number;
  readonly batchId: number;
  readonly timeMs: number;
  readonly rows: OutputRows;
}

interface Staged extends StagedOutput {
  status: 'staged' | 'committed' | 'published' | 'swept';
}

interface Acted {
  readonly plan: number;
  /** By version of the program. */
  readonly byVersion: Map<number, { readonly rows: OutputRows; readonly text: string }>;
}

/**
 * What the outputs of all drivers did.
 *
 * Invariants
 *   H3. Staged output is published only if its record stands in the log; never after it was swept away.
 *   H4. An output that acts during the batch acts only on a plan that stands in the log. Every repetition by the same
 *       version of the program has identical content, and the batch that is committed is the one that was acted.
 *   H8. Rows are written only of a batch that is committed, and every repetition has identical content.
 */
export class OutputLedger {
  readonly #verdict: Verdict;
  readonly #plans: PlanLedger;
  readonly #staged: Staged[] = [];
  /** By batch id, then output. */
  readonly #acted = new Map<number, Map<string, Acted>>();
  /** By output, batch id, partition. */
  readonly #written = new Map<string, Map<number, Map<number, readonly unknown[]>>>();
  #unpublished = 0;

  constructor(verdict: Verdict, plans: PlanLedger) {
    this.#verdict = verdict;
    this.#plans = plans;
  }

  /** Outputs that are committed and not published yet. */
  get unpublished(): number {
    return this.#unpublished;
  }

  stage(output: StagedOutput): number {
    this.#staged.push({ ...output, status: 'staged' });
    return this.#staged.length - 1;
  }

  /** A record stands in the log that names it. */
  committed(id: number): StagedOutput {
    const staged = this.#staged[id];
    if (staged?.status !== 'staged') {
      return this.#verdict.fail(
        `A record commits output ${nameOf(id, staged)}, which is ${staged?.status ?? 'unknown'}.`,
      );
    }
    staged.status = 'committed';
    this.#unpublished += 1;
    return staged;
  }

  published(id: number): void {
    const staged = this.#staged[id];
    if (staged?.status === 'committed') {
      staged.status = 'published';
      this.#unpublished -= 1;
    } else if (staged?.status !== 'published') {
      this.#verdict.violate(`Output ${nameOf(id, staged)} is published, and it is ${staged?.status ?? 'unknown'}.`); // H3
    }
  }

  /** What drivers that `isOlder` names staged for `output` and did not publish is thrown away. */
  swept(output: string, isOlder: (driver: number) => boolean): void {
    for (const [id, staged] of this.#staged.entries()) {
      if (staged.output !== output || !isOlder(staged.driver)) continue;
      if (staged.status === 'staged') staged.status = 'swept';
      if (staged.status !== 'committed') continue;
      this.#verdict.violate(`Output ${nameOf(id, staged)} is swept away before it is published.`); // H3
    }
  }

  /** At the moment the effect is there. `plan`: what the driver's source gave it for the batch. */
  acted(output: string, batchId: number, version: number, plan: number | undefined, rows: OutputRows): void {
    const what = `Output '${output}' acts for batch ${batchId}`;
    if (plan === undefined || !this.#plans.isRecorded(plan)) {
      this.#verdict.violate(`${what} on plan ${plan}, which is not in the log.`); // H4
      return;
    }
    let acts = this.#acted.get(batchId);
    if (acts === undefined) this.#acted.set(batchId, (acts = new Map()));
    const before = acts.get(output);
    if (before !== undefined && before.plan !== plan) {
      this.#verdict.violate(`${what} on plan ${plan}, and acted on ${before.plan} before.`); // H4
    }
    const text = JSON.stringify(rows);
    const same = before?.byVersion.get(version);
    if (before === undefined) acts.set(output, { plan, byVersion: new Map([[version, { rows, text }]]) });
    // Another version of the program may compute something else from the same rows.
    else if (same === undefined) before.byVersion.set(version, { rows, text });
    else if (same.text !== text) {
      this.#verdict.violate(`Output '${output}' repeats batch ${batchId} with ${text} instead of ${same.text}.`); // H4
    }
  }

  /** A sink of class `idempotent`, at the moment the rows are there. */
  wrote(
    output: string,
    write: {
      readonly batchId: number;
      readonly partition: number;
      readonly rows: readonly unknown[];
      readonly isCommitted: boolean;
    },
  ): void {
    const { batchId, partition, rows, isCommitted } = write;
    const what = `Output '${output}' writes partition ${partition} of batch ${batchId}`;
    if (!isCommitted) this.#verdict.violate(`${what}, which is not committed.`); // H8
    let batches = this.#written.get(output);
    if (batches === undefined) this.#written.set(output, (batches = new Map()));
    let partitions = batches.get(batchId);
    if (partitions === undefined) batches.set(batchId, (partitions = new Map()));
    const before = partitions.get(partition);
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(rows)) {
      this.#verdict.violate(`${what} again with ${JSON.stringify(rows)} instead of ${JSON.stringify(before)}.`); // H8
    }
    partitions.set(partition, rows);
  }

  /** All rows that outputs of class `idempotent` have written: by output, then batch id. */
  written(): ReadonlyMap<string, ReadonlyMap<number, readonly unknown[]>> {
    const rowsOf = (partitions: ReadonlyMap<number, readonly unknown[]>): readonly unknown[] => [
      ...[...partitions].sort(([a], [b]) => a - b).flatMap(([, rows]) => rows),
    ];
    const outputs = new Map<string, Map<number, readonly unknown[]>>();
    for (const [output, batches] of this.#written) {
      outputs.set(output, new Map(Array.from(batches, ([batchId, partitions]) => [batchId, rowsOf(partitions)])));
    }
    return outputs;
  }

  /** What the acting outputs of a batch gave, now that it is committed with `plan`. */
  actsOf(batchId: number, plan: number, version: number): [output: string, rows: OutputRows][] {
    return [...(this.#acted.get(batchId) ?? [])].flatMap(([output, acted]) => {
      if (acted.plan !== plan) {
        this.#verdict.violate(
          `Output '${output}' acted on plan ${acted.plan}; batch ${batchId} is committed with ${plan}.`,
        ); // H4
      }
      const act = acted.byVersion.get(version);
      return act === undefined ? [] : [[output, act.rows] as [string, OutputRows]];
    });
  }
}

function nameOf(id: number, staged: StagedOutput | undefined): string {
  return staged === undefined ? `${id}` : `'${staged.output}' of batch ${staged.batchId}`;
}
