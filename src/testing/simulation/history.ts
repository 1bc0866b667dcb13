import { TidemarkError } from '../../base/errors.ts';
import { BatchIds } from './batch-ids.ts';
import { Line, type SimulationModel, type Station } from './line.ts';
import { LogWatch } from './log-watch.ts';
import type { MarkedRecord } from './marks.ts';
import { OutboxEvents } from './outbox-events.ts';
import { OutputLedger, type OutputRows, type StagedOutput } from './output-ledger.ts';
import { type LedgerPlan, PlanLedger } from './plan-ledger.ts';
import type { SimulatedTopic } from './topic.ts';
import type { Verdict } from './verdict.ts';
import { WrittenLedger } from './written-ledger.ts';

export interface HistoryOptions<T> {
  readonly verdict: Verdict;
  readonly topic: SimulatedTopic<T>;
  /** Of the program of a process; undefined: it is no driver. */
  readonly versionOf: (process: number) => number | undefined;
  readonly model: () => SimulationModel<T>;
  readonly note: (text: () => string) => void;
  /** Of the stream that this one is forked from. */
  readonly origin: History<T> | undefined;
}

/** A driver has stopped cleanly. */
export interface CleanStop {
  readonly driver: number;
  readonly lastBatchId: number;
  /** Per partition. */
  readonly committedTo: readonly number[];
  readonly unpublished: number;
}

/**
 * The verifier: what happened to one stream, kept beside the engine and without its code. It sees the raw objects of the
 * store and what sources and sinks are asked for, and puts together which batches have been committed, and which count.
 *
 * Invariants it checks, each at the moment it could break; the others are those of its parts.
 *   H2. Batches follow each other without gap or overlap: per partition [last end, new end), each sequence number once,
 *       also where a rewind goes back, and where a fork begins.
 *   H5. A source is told of a commit only when its record stands in the log.
 *   H7. Nobody is fenced without a newer fence, and no driver ends with an error that means a bug or damage.
 */
export class History<T> {
  readonly log: LogWatch;
  readonly plans: PlanLedger;
  readonly outputs: OutputLedger;
  readonly written: WrittenLedger<T>;
  readonly outbox: OutboxEvents<T>;
  readonly line: Line<T>;
  readonly ids = new BatchIds<T>();
  readonly counts = { batches: 0, fences: 0, rewinds: 0, pins: 0, unpins: 0 };
  readonly stops: CleanStop[] = [];
  /** By driver: when it last took up the request of a tool to finish what had arrived. */
  readonly drainsAccepted = new Map<number, number>();
  readonly #options: HistoryOptions<T>;
  readonly #verdict: Verdict;
  /** By process: the slot of its fence. */
  readonly #epochs = new Map<number, number>();
  #lastWriter = 0;

  constructor(options: HistoryOptions<T>) {
    this.#options = options;
    this.#verdict = options.verdict;
    this.line = new Line(options.model);
    this.plans = new PlanLedger(options.verdict);
    this.outputs = new OutputLedger(options.verdict, this.plans);
    this.outbox = new OutboxEvents(options.verdict, this.ids);
    this.written = new WrittenLedger(options.verdict, this.ids);
    this.log = new LogWatch(options.verdict, (record) => this.#recorded(record));
  }

  /** Per partition: where the last batch that counts ended. */
  get committedTo(): readonly number[] {
    const head = this.line.head;
    return head === undefined ? [] : this.plans.at(head.plan).to;
  }

  get lastTimeMs(): number {
    return this.line.head?.timeMs ?? 0;
  }

  /** Undefined: the process has not got its fence into the log. */
  epochOf(process: number): number | undefined {
    return this.#epochs.get(process);
  }

  sourceToldOfCommit(plan: number): void {
    if (!this.plans.isCommitted(plan))
      this.#verdict.violate(`The source is told that plan ${plan} is committed; it is not.`); // H5
  }

  /** `epochBefore`: the newest fence when the driver started. `allowed`: the codes it may end with. */
  driverEnded(driver: number, epochBefore: number, error: unknown, allowed: ReadonlySet<string>): void {
    if (error === undefined) return;
    const code = error instanceof TidemarkError ? error.code : undefined;
    // Simulated inputs, outputs and functions fail now and then; the program must not.
    const isSimulated = allowed.size > 0 && String(error).includes('Simulated');
    const isAllowed = code === undefined || code === 'TASK_FAILED' ? isSimulated : allowed.has(code);
    if (!isAllowed) this.#verdict.violate(`Driver ${driver} ended with ${String(error)}`, error); // H7
    if (code !== 'FENCED' && code !== 'SOURCE_FENCED') return;
    // One that has not fenced yet may refuse because others have run batches since it began.
    const epoch = this.#epochs.get(driver) ?? epochBefore - 1;
    if (this.log.epoch > epoch) return;
    this.#verdict.violate(
      `Driver ${driver} of epoch ${epoch} is fenced, and there is no newer fence: ${String(error)}`,
      error,
    );
  }

  #recorded(record: MarkedRecord): void {
    const { kind, slot, planned, writer } = record;
    if (kind === 'plan' || kind === 'batch') for (const plan of planned) this.plans.recorded(plan);
    switch (kind) {
      case 'fence':
        this.#fenced(slot, writer);
        break;
      case 'batch':
        this.#committed(record);
        break;
      case 'rewind':
        this.#rewound(record);
        break;
      case 'seed':
        this.#seeded(record);
        break;
      case 'pin':
        this.counts.pins += 1;
        break;
      case 'unpin':
        this.counts.unpins += 1;
        break;
      case 'drain': {
        if (this.#options.versionOf(writer) === undefined) break;
        const { committedTo } = this;
        const { unpublished } = this.outputs;
        this.stops.push({ driver: writer, lastBatchId: this.ids.last, committedTo, unpublished });
        break;
      }
      case 'plan':
      case 'other':
        break;
    }
  }

  #fenced(slot: number, writer: number): void {
    this.#epochs.set(writer, slot);
    this.#lastWriter = writer;
    this.counts.fences += 1;
    const version = this.#options.versionOf(writer);
    this.#options.note(() => `fence ${slot} of ${version === undefined ? 'a tool' : `driver ${writer}`}`);
    if (version !== undefined) this.line.fence({ slot, version, lastBatchId: this.ids.last });
  }

  /** The record holds the positions where its batches end, and perhaps the plan of the batch after them. */
  #committed({ slot, positions, planned, outs }: MarkedRecord): void {
    const ends = [...positions].filter((id) => !planned.has(id)).sort((a, b) => a - b);
    const end = ends.at(-1);
    if (end === undefined) this.#verdict.fail(`Record ${slot} commits no position.`); // H2
    const lastPlan = this.line.head?.plan;
    const chain = this.plans.chain(lastPlan, end);
    if (chain === undefined || chain.length !== ends.length || chain.some(({ id }, index) => id !== ends[index])) {
      this.#verdict.fail(
        `Record ${slot} commits plans ${ends.join(', ')}, which do not follow plan ${lastPlan}: rows are lost or doubled.`,
      ); // H2
    }
    const committed = outs.map((id) => this.outputs.committed(id));
    for (const plan of chain) {
      this.plans.committed(plan.id);
      this.#batchCommitted(
        plan,
        slot,
        committed.filter(({ timeMs }) => timeMs === plan.batchTimeMs),
      );
    }
  }

  #batchCommitted(plan: LedgerPlan, slot: number, staged: readonly StagedOutput[]): void {
    const batchId = this.ids.last + 1;
    const { batchTimeMs: timeMs } = plan;
    // The first one fixes the starting positions and has no rows.
    if (batchId === 1) {
      this.line.add({ batchId, plan: plan.id, timeMs: 0, batch: undefined });
      this.ids.add({ batchId, slot, station: this.line.head!, isRewind: false });
      return;
    }
    const version = this.#options.versionOf(this.#lastWriter);
    if (version === undefined) this.#verdict.fail(`Batch ${batchId} is committed by a tool.`);
    const outputs = new Map<string, OutputRows>(this.outputs.actsOf(batchId, plan.id, version));
    for (const { output, batchId: own, rows } of staged) {
      if (own !== batchId) this.#verdict.violate(`Output '${output}' of batch ${own} is committed as ${batchId}.`);
      if (outputs.has(output)) this.#verdict.violate(`Batch ${batchId} commits output '${output}' twice.`);
      outputs.set(output, rows);
    }
    const rows = plan.to.flatMap((to, partition) => {
      const from = plan.from[partition] ?? 0;
      if (to < from) this.#verdict.violate(`Plan ${plan.id} goes back from ${from} to ${to}.`);
      return this.#options.topic.rows(partition, from, to);
    });
    if (this.lastTimeMs >= timeMs) {
      this.#verdict.violate(`Batch ${batchId} of ${timeMs} ms follows one of ${this.lastTimeMs} ms.`);
    }
    this.counts.batches += 1;
    this.#options.note(() => `batch ${batchId} of ${timeMs} is committed, ${rows.length} rows`);
    if (this.#verdict.violation !== undefined) return;
    const batch = { batchId, timeMs, generation: this.ids.generation, version, rows, outputs };
    this.#modelled(() => {
      const expected = this.line.add({ batchId, plan: plan.id, timeMs, batch });
      this.ids.add({ batchId, slot, station: this.line.head!, isRewind: false });
      this.written.expect(batchId, expected);
      this.outbox.batch({ ...batch, slot, expected });
    });
  }

  #rewound(record: MarkedRecord): void {
    const station = this.#stationOf(record, this.line);
    if (!this.line.leadsTo(station)) {
      this.#verdict.fail(`Record ${record.slot} goes back to batch ${station.batchId}, which was given up.`); // H2
    }
    const { slot } = record;
    this.ids.giveUp(station, slot);
    this.outputs.giveUp(station.batchId, slot);
    this.counts.rewinds += 1;
    const { last, generation } = this.ids;
    this.#options.note(() => `batch ${last} goes back to batch ${station.batchId}, generation ${generation} begins`);
    this.outbox.rewind(last, station, slot);
    this.#modelled(() => this.line.goTo(station));
  }

  /** A fork: its line is that of its origin up to the batch. */
  #seeded(record: MarkedRecord): void {
    const { origin } = this.#options;
    if (origin === undefined) this.#verdict.fail(`Record ${record.slot} is a seed, and nobody has forked.`);
    this.plans.begin(origin.plans);
    const station = this.#stationOf(record, origin.line);
    this.#modelled(() => this.line.goTo(station));
    // A rewind has an id of its own and stands for the batch it went back to. Which one was forked, the tool says.
    this.ids.begin(station, record.slot);
  }

  #stationOf({ slot, positions }: MarkedRecord, line: Line<T>): Station<T> {
    const [plan] = positions;
    const station = plan === undefined || positions.size !== 1 ? undefined : line.find(plan);
    return station ?? this.#verdict.fail(`Record ${slot} goes on from [${[...positions]}], where no batch has ended.`); // H2
  }

  #modelled(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#verdict.violate(error instanceof Error ? error.message : String(error), error);
    }
  }
}
