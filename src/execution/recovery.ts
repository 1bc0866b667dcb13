import { invariant, TidemarkError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { CheckpointLog } from '../checkpoint/checkpoint-log.ts';
import type { CheckpointOptions } from '../checkpoint/checkpoint-options.ts';
import type { StreamStatus } from '../checkpoint/records.ts';
import type { StreamCheckpoint } from '../checkpoint/stream-checkpoint.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import type { StatefulNode } from '../dstream/stateful-node.ts';
import type { ListenerBus } from '../observe/listener-bus.ts';
import type { RecoveryInfo } from '../observe/streaming-listener.ts';
import type { RddContext } from '../rdd/rdd-context.ts';
import type { SourcePlan } from '../sources/source.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { StoreView } from '../storage/store-view.ts';
import type { StoredTable } from '../workers/divided-state.ts';
import type { WorkerGroup } from '../workers/worker-group.ts';
import type { BackpressureSettings } from './backpressure/options.ts';
import { RateController } from './backpressure/rate-controller.ts';
import { batchesDue, gridTimeAfter } from './batch-times.ts';
import { CheckpointMeter } from './checkpoint-meter.ts';
import type { Driver, EnginePorts, EngineSettings } from './driver.ts';
import type { GraphDescription } from './graph-description.ts';
import { requireRecoverable } from './graph-diff.ts';
import { pathGuarantees } from './guarantees.ts';
import { loadRest } from './load-rest.ts';
import { publish } from './outputs.ts';
import { type GivenUp, Redeploy } from './redeploy.ts';
import { refuseOlder } from './sink-delivery.ts';
import { mergeState, sealState } from './state-batch.ts';
import { rereadState, storedTables } from './stored-tables.ts';

/** A program ready to be started, and where its stream stands. */
export interface StartRequest {
  readonly graph: DStreamGraph;
  readonly givenUp: GivenUp;
  readonly appName: string;
  readonly settings: EngineSettings;
  readonly ports: EnginePorts;
  readonly random: Random;
  readonly rdds: RddContext;
  readonly listeners: ListenerBus;
  readonly workers: WorkerGroup | undefined;
  readonly backpressure: BackpressureSettings | undefined;
  /** Undefined: no checkpoint, nothing survives the process. */
  readonly checkpoint:
    | {
        readonly store: ObjectStore;
        readonly found: StreamCheckpoint | undefined;
        readonly options: Omit<CheckpointOptions, 'clock' | 'random' | 'crashHook' | 'onCommitted'>;
      }
    | undefined;
  /** Called when a source fails outside a batch. */
  readonly fail: (error: Error) => void;
}

export interface StartedDriver {
  readonly driver: Driver;
  readonly info: RecoveryInfo;
}

/**
 * Makes this process the driver of the stream: fence, state, unpublished output, sources, in this order.
 *
 * A crash between any two steps is recovered by doing all of it again. Nothing is written before the program was found
 * to fit the checkpoint. The very first start commits an empty batch at zero time: it fixes the starting positions, so
 * that a crash before the first real batch does not move a 'latest'.
 */
export async function startDriver(request: StartRequest): Promise<StartedDriver> {
  const { graph, ports, rdds, listeners, settings, checkpoint } = request;
  const startedMs = ports.clock.now();
  graph.validate();
  if (checkpoint === undefined) requireNoOutbox(graph);
  const reachable = graph.reachable();
  const stateful = graph.stateful.filter((node) => reachable.has(node));

  const redeploy = new Redeploy(graph, stateful, request.givenUp, checkpoint?.found?.status);
  const meter = checkpoint && new CheckpointMeter(ports.clock, checkpoint.store, request.listeners);
  const log = checkpoint === undefined ? undefined : await fence(request, redeploy, meter);
  const recovered = log?.recovered;
  const status = recovered?.status;
  // Only before the first commit: nothing of it is held on to.
  const storedAtStart = (): ReadonlyMap<string, StoredTable> =>
    log === undefined ? new Map() : storedTables(log.recovered, redeploy.restored(log.recovered.status));
  const stateBytes = await restoreState(stateful, storedAtStart, request);
  for (const note of status === undefined ? [] : redeploy.notes(status)) ports.warn(note);
  await ports.crash('recovery:state-restored');

  const zeroTimeMs = log?.status.zeroTimeMs ?? zeroTime(request);
  const lastBatch = status?.lastBatch ?? { batchId: 0, batchTimeMs: zeroTimeMs };
  graph.remembered.begin({ zeroTimeMs, rdds }, lastBatch.batchTimeMs);
  const nextTimeMs =
    status?.plan?.batchTimeMs ?? gridTimeAfter(lastBatch.batchTimeMs, zeroTimeMs, graph.batchIntervalMs);
  const due = batchesDue(ports.clock, nextTimeMs, graph.batchIntervalMs);
  const passedOver = Math.max(0, due - settings.catchUpBatchesMax);
  const driver: Driver = {
    graph,
    settings,
    ports,
    rdds,
    listeners,
    workers: request.workers,
    rates: rateController(request),
    log,
    meter,
    streamId: log?.streamId ?? request.random.id(),
    epoch: log?.epoch ?? 1,
    store: checkpoint?.store,
    zeroTimeMs,
    generation: status?.generation ?? 0,
    stateful,
    passedOverUntilMs: nextTimeMs + passedOver * graph.batchIntervalMs,
    lastBatch,
    committing: Promise.resolve(),
    recordedPlan: status?.plan,
    replayedBatchId: status?.plan?.batchId,
    receipts: [],
    operationsTold: 0,
  };
  await openSinks(driver);
  await tellOfRewind(driver, status);
  await ports.crash('recovery:sinks-told');
  await publish(driver, status?.unpublished ?? []);
  await sweepSinks(driver);
  await ports.crash('recovery:republished');

  await startSources(driver, status, request);
  if (status?.lastBatch === undefined) await commitStart(driver);
  await ports.crash('recovery:sources-started');
  request.workers?.state.loadFrom(
    checkpoint &&
      (async () => (driver.lastBatch === lastBatch ? storedAtStart() : rereadState(driver, checkpoint.store))),
  );
  driver.operationsTold = checkpoint?.store.operations.total() ?? 0;
  if (log !== undefined) meter?.begin(log);
  loadRest(stateful, ports, request.fail);

  return {
    driver,
    info: {
      timeMs: ports.clock.now(),
      slot: log?.epoch ?? 0,
      epoch: log?.epoch ?? 0,
      recovered: status?.lastBatch !== undefined,
      lastBatchTimeMs: driver.lastBatch.batchTimeMs,
      stateKeys: stateful.reduce((sum, { table }) => sum + table.keyCount, 0),
      stateBytes,
      recordsRead: recovered?.recordsRead ?? 0,
      republished: status?.unpublished.length ?? 0,
      // The batch of a recorded plan runs in any case: before its time has come, and when others are passed over.
      batchesToCatchUp:
        status?.plan === undefined ? due - passedOver : Math.max(1, due - passedOver + (passedOver > 0 ? 1 : 0)),
      tookMs: ports.clock.now() - startedMs,
      guarantees: pathGuarantees(graph, log !== undefined),
      derivedUids: graph.derivedUids,
    },
  };
}

/** Without a checkpoint there is nothing its readers could read. @throws GRAPH_INVALID */
function requireNoOutbox(graph: DStreamGraph): void {
  const outbox = graph.outputs.find((output) => output.kind === 'sink' && output.sink.sinkClass === 'outbox');
  if (outbox === undefined) return;
  throw new TidemarkError(
    'GRAPH_INVALID',
    `Output '${outbox.uid}' is an outbox, which lives in the checkpoint, and this context has none: use ` +
      'StreamingContext.getOrCreate(url, create), or another sink.',
    { context: { uid: outbox.uid } },
  );
}

function rateController({ graph, backpressure }: StartRequest): RateController | undefined {
  if (backpressure === undefined) return undefined;
  const sources = graph.sources.map(({ source }) => source);
  return new RateController(sources, graph.batchIntervalMs, backpressure);
}

/** Of the grid of batch times: the last multiple of the interval that has come. */
function zeroTime({ graph, ports }: StartRequest): number {
  return Math.floor(ports.clock.now() / graph.batchIntervalMs) * graph.batchIntervalMs;
}

async function fence(
  request: StartRequest,
  redeploy: Redeploy,
  meter: CheckpointMeter | undefined,
): Promise<CheckpointLog> {
  const { graph, ports, random, checkpoint, appName } = request;
  invariant(checkpoint !== undefined, 'A fence needs a checkpoint.');
  await ports.crash('recovery:read');
  return CheckpointLog.takeOver(
    checkpoint.store,
    checkpoint.found,
    { zeroTimeMs: zeroTime(request), graph: redeploy.description, settings: { appName, ...request.settings } },
    {
      ...checkpoint.options,
      clock: ports.clock,
      random,
      crashHook: ports.crash,
      onCommitted: (record) => meter?.committed(record),
    },
    (status) => {
      if (status.graph === undefined) return;
      requireRecoverable(graph, status.graph as GraphDescription, checkpoint.store.url);
      redeploy.check(status);
    },
  );
}

/** @throws STATE_MISMATCH, CHECKPOINT_CORRUPT */
async function restoreState(
  stateful: readonly StatefulNode<unknown>[],
  storedAtStart: () => ReadonlyMap<string, StoredTable>,
  { rdds: { turns }, workers }: StartRequest,
): Promise<number> {
  workers?.state.loadFrom(async () => storedAtStart());
  await workers?.giveState();
  let bytes = workers?.state.bytesRead ?? 0;
  const all = storedAtStart();
  for (const node of stateful) {
    const { table, restoresLazily, uid } = node;
    const found = all.get(uid);
    if (found === undefined || workers?.state.holds(node)) continue;
    bytes += await table.restoreFrom(found.stored, found.fingerprint, turns);
    if (!restoresLazily) await table.ensureLoaded();
  }
  return bytes;
}

async function openSinks({ graph, streamId, epoch }: Driver): Promise<void> {
  for (const output of graph.outputs) {
    if (output.kind === 'sink') await output.sink.open?.({ streamId, uid: output.uid, epoch });
  }
}

/** Before anything is published, and at every start until a batch of the new generation is committed. */
async function tellOfRewind(driver: Driver, status: StreamStatus | undefined): Promise<void> {
  if (status?.openRewind === undefined) return;
  const { toBatchId: batchId, batchTimeMs, generation } = status.openRewind;
  const { streamId, epoch } = driver;
  const rewind = { batchId, batchTimeMs, generation };
  for (const output of driver.graph.outputs) {
    if (output.kind !== 'sink') continue;
    const { uid, sink } = output;
    if (sink.sinkClass === 'transactional') await refuseOlder(sink, { streamId, uid, epoch }, rewind);
    await sink.onRewind?.(rewind);
  }
}

/** What older drivers staged and never committed; only once everything committed is published. */
async function sweepSinks(driver: Driver): Promise<void> {
  for (const output of driver.graph.outputs) {
    if (output.kind === 'sink' && output.sink.sinkClass === 'staged') await output.sink.sweep?.();
  }
}

const receiverEvents = {
  started: 'onReceiverStarted',
  error: 'onReceiverError',
  stopped: 'onReceiverStopped',
} as const;

async function startSources(
  driver: Driver,
  status: StreamStatus | undefined,
  { fail, random }: StartRequest,
): Promise<void> {
  const { clock, warn } = driver.ports;
  const { batchIntervalMs } = driver.graph;
  const epoch = driver.log?.epoch ?? 1;
  driver.rates?.begin();
  await Promise.all(
    driver.graph.sources.map(async ({ uid, source }, streamId) => {
      await source.start({
        position: status?.positions[uid],
        epoch,
        clock,
        random,
        streamId,
        batchIntervalMs,
        store: driver.store && new StoreView(driver.store, `source/${uid}`),
        warn,
        onReceiver: (event, info) => driver.listeners.post(receiverEvents[event], info),
        fail,
      });
      const recorded = status?.plan?.sources[uid];
      if (recorded !== undefined) source.adopt(recorded as SourcePlan);
    }),
  );
}

async function commitStart(driver: Driver): Promise<void> {
  const { graph, log, zeroTimeMs } = driver;
  await log?.commitBatch({
    batchId: 1,
    batchTimeMs: zeroTimeMs,
    positions: Object.fromEntries(graph.sources.map(({ uid, source }) => [uid, source.position()])),
    deltas: await sealState(driver, undefined),
    handles: [],
    receipts: [],
  });
  await mergeState(driver);
  driver.lastBatch = { batchId: 1, batchTimeMs: zeroTimeMs };
}
