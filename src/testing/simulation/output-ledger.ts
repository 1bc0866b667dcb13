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
  status: 'staged' | 'committed' | 'published' | 'swept' | 'given up';
  /** The record of the rewind. */
  givenUpBy: number;
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
 *   H3. Staged output is published only if its record stands in the log; never after it was swept away, and not by a
 *       driver that follows a rewind which gave it up.
 *   H4. An output that acts during the batch acts only on a plan that stands in the log. Every repetition by the same
 *       version of the program has identical content, and the batch that is committed is the one that was acted.
 */
export class OutputLedger {
  readonly #verdict: Verdict;
  readonly #plans: PlanLedger;
  readonly #staged: Staged[] = [];
  /** By batch id, then output. */
  readonly #acted = new Map<number, Map<string, Acted>>();
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
    this.#staged.push({ ...output, status: 'staged', givenUpBy: 0 });
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

  /** The stream went back to a batch: what came after it is not to be published any more. */
  giveUp(toBatchId: number, slot: number): void {
    for (const staged of this.#staged) {
      if (staged.batchId <= toBatchId) continue;
      if (staged.status === 'committed') this.#unpublished -= 1;
      else if (staged.status !== 'published') continue;
      staged.status = 'given up';
      staged.givenUpBy = slot;
    }
  }

  /** `epoch`: of the driver that publishes. An older one may come late: readers know that what it publishes was given up. */
  published(id: number, epoch: number): void {
    const staged = this.#staged[id];
    if (staged?.status === 'committed') {
      staged.status = 'published';
      this.#unpublished -= 1;
    } else if (staged?.status === 'given up') {
      if (epoch < staged.givenUpBy) return;
      this.#verdict.violate(
        `Output ${nameOf(id, staged)} is published in epoch ${epoch}; record ${staged.givenUpBy} gave it up.`,
      ); // H3
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
