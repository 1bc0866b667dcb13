import {
  blobSink,
  Minutes,
  Seconds,
  type SinkBatch,
  type StagedSink,
  type State,
  StateSpec,
  type StoreOptions,
  StreamingContext,
  type StreamingContextOptions,
} from '../src/index.ts';

/** Body of an event of the hub. */
interface Reading {
  readonly deviceId: string;
  readonly temperature: number;
  /** When it was measured, milliseconds since the Unix epoch. */
  readonly at: number;
  /** Counts the readings of the device, from 1. */
  readonly seq: number;
}

interface Sum {
  readonly total: number;
  readonly count: number;
}

interface Alarm {
  readonly status: 'normal' | 'hot';
  readonly sinceMs: number;
}

/** What one batch received from one device; the verdict of the demo is computed from these. */
interface Count {
  readonly received: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly seqSum: number;
}

interface RunningCount {
  readonly total: number;
  readonly last: Count;
}

export interface Average {
  readonly device: string;
  readonly average: number;
  readonly readings: number;
}

export interface AlarmEvent {
  readonly device: string;
  readonly event: string;
}

export interface ThermostatSettings {
  readonly connectionString: string | undefined;
  readonly fullyQualifiedNamespace?: string | undefined;
  readonly eventHubName: string;
  readonly consumerGroup: string;
  /** By partition id: the first sequence number of a new stream. */
  readonly startingSequenceNumbers: Readonly<Record<string, number>>;
  readonly outputUrl: string;
  readonly storage: StoreOptions;
  readonly onAverages: (rows: readonly Average[]) => void;
  readonly onAlarms: (rows: readonly AlarmEvent[]) => void;
  readonly context?: Partial<StreamingContextOptions>;
}

const hotAbove = 30;
const coolBelow = 28;
const silentAfter = Seconds(15);
const nothingReceived: Count = { received: 0, firstSeq: 0, lastSeq: 0, seqSum: 0 };

/** The thermostat application: a sliding average, an alarm per device, and a running count that is saved exactly once. */
export function thermostats(settings: ThermostatSettings): StreamingContext {
  const ssc = new StreamingContext({ appName: 'thermostats', batchInterval: Seconds(1), ...settings.context });
  const startingPosition = Object.fromEntries(
    Object.entries(settings.startingSequenceNumbers).map(
      ([id, sequenceNumber]) => [id, { sequenceNumber, isInclusive: true }] as const,
    ),
  );
  const readings = ssc
    .eventHubStream({
      connectionString: settings.connectionString,
      fullyQualifiedNamespace: settings.fullyQualifiedNamespace,
      eventHubName: settings.eventHubName,
      consumerGroup: settings.consumerGroup,
      startingPosition: Object.keys(startingPosition).length > 0 ? startingPosition : 'earliest',
      uid: 'telemetry',
    })
    .map((event) => event.body as Reading)
    .map((reading) => [reading.deviceId, reading] as const);

  readings
    .mapValues((reading): Sum => ({ total: reading.temperature, count: 1 }))
    .reduceByKeyAndWindow(add, subtract, Minutes(1), Seconds(5), {
      uid: 'average',
      filter: ([, sum]) => sum.count > 0,
    })
    .map(([device, { total, count }]): Average => ({ device, average: total / count, readings: count }))
    .saveTo(new Display(settings.onAverages), { uid: 'averages-shown' });

  readings
    .mapWithState(StateSpec.function(trackAlarm).timeout(silentAfter), { uid: 'alarms' })
    .saveTo(new Display(settings.onAlarms), { uid: 'alarms-shown' });

  readings
    .mapValues(({ seq }): Count => ({ received: 1, firstSeq: seq, lastSeq: seq, seqSum: seq }))
    .reduceByKey(addCounts)
    .updateStateByKey(countReadings, { uid: 'running-count' })
    .filter(([, { last }]) => last.received > 0)
    .transform((rdd, time) =>
      rdd.map(([deviceId, { total, last }]) => ({ deviceId, batchTime: time.milliseconds, ...last, total })),
    )
    .saveTo(blobSink({ url: settings.outputUrl, format: 'jsonl', ...settings.storage }), { uid: 'counts' });

  return ssc;
}

function add(a: Sum, b: Sum): Sum {
  return { total: a.total + b.total, count: a.count + b.count };
}

function subtract(a: Sum, b: Sum): Sum {
  return { total: a.total - b.total, count: a.count - b.count };
}

function addCounts(a: Count, b: Count): Count {
  return {
    received: a.received + b.received,
    firstSeq: Math.min(a.firstSeq, b.firstSeq),
    lastSeq: Math.max(a.lastSeq, b.lastSeq),
    seqSum: a.seqSum + b.seqSum,
  };
}

/** Called for every known device in every batch; one without readings keeps its total and says so. */
function countReadings(counts: readonly Count[], state: RunningCount | undefined): RunningCount {
  const last = counts[0] ?? nothingReceived;
  return { total: (state?.total ?? 0) + last.received, last };
}

/** A device is hot above 30 degrees and cool again below 28; it is reported silent once and then forgotten. */
function trackAlarm(device: string, reading: Reading | undefined, state: State<Alarm>): AlarmEvent | undefined {
  if (reading === undefined) return { device, event: `silent for ${silentAfter.milliseconds / 1000} s` };
  const status = state.getOption()?.status ?? 'normal';
  if (status === 'normal' && reading.temperature > hotAbove) {
    state.update({ status: 'hot', sinceMs: reading.at });
    return { device, event: `hot: ${reading.temperature} degrees` };
  }
  if (status === 'hot' && reading.temperature < coolBelow) {
    const hotForMs = reading.at - state.get().sinceMs;
    state.update({ status: 'normal', sinceMs: reading.at });
    return { device, event: `cool again after ${Math.round(hotForMs / 1000)} s` };
  }
  if (!state.exists()) state.update({ status, sinceMs: reading.at });
  return undefined;
}

/** Shows the rows of a batch once it is committed. After a crash nothing is shown again: at most once. */
class Display<T> implements StagedSink<T> {
  readonly sinkClass = 'staged';
  readonly kind = 'display';
  readonly guarantee = 'at most once';
  readonly description = 'display';
  readonly #show: (rows: readonly T[]) => void;
  #staged: readonly T[] = [];

  constructor(show: (rows: readonly T[]) => void) {
    this.#show = show;
  }

  async stage(_batch: SinkBatch, partitions: readonly (readonly T[])[]): Promise<unknown> {
    this.#staged = partitions.flat();
    return this.#staged.length;
  }

  async publish(): Promise<void> {
    if (this.#staged.length > 0) this.#show(this.#staged);
    this.#staged = [];
  }
}
