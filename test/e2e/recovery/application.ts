import { EventHubProducerClient } from '@azure/event-hubs';
import { ContainerClient } from '@azure/storage-blob';
import { Child } from '../../../scripts/demo/child.ts';
import type { LedgerContent } from '../../../scripts/demo/ledger.ts';
import { readCountLines } from '../../../scripts/demo/output-reader.ts';
import type { DriverMessage } from '../../../scripts/demo/protocol.ts';
import { judge, type Verdict } from '../../../scripts/demo/verdict.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Azurite } from '../../../src/testing/azurite.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator.ts';

/** What a driver of these tests says besides: it stops itself at once. */
export type RecoveryTestMessage = DriverMessage | { readonly type: 'freezing' };

const devices = 40;

/** One application under test: a hub, a sender with a ledger, a container, and the drivers that are started on them. */
export class Application {
  readonly #emulator: EventHubsEmulator;
  readonly #azurite: Azurite;
  readonly #container: ContainerClient;
  readonly #producer: EventHubProducerClient;
  readonly #name: string;
  readonly #sent = new Map<string, number>();
  readonly #random = new SeededRandom(11);
  readonly #drivers: Child<RecoveryTestMessage>[] = [];
  #sending: Promise<void> = Promise.resolve();
  #stopSending = false;

  static async start(name: string, azurite: Azurite): Promise<Application> {
    const emulator = await startEventHubsEmulator({
      hubs: [{ name: 'telemetry', partitionCount: 4, consumerGroups: ['thermostats'] }],
    });
    const container = new ContainerClient(azurite.connectionString, name);
    await container.create();
    return new Application(name, azurite, emulator, container);
  }

  private constructor(name: string, azurite: Azurite, emulator: EventHubsEmulator, container: ContainerClient) {
    this.#name = name;
    this.#azurite = azurite;
    this.#emulator = emulator;
    this.#container = container;
    this.#producer = new EventHubProducerClient(emulator.connectionString, 'telemetry');
  }

  /** Sends about 800 readings a second until `stopAndJudge`. */
  keepSending(): void {
    const loop = async (): Promise<void> => {
      while (!this.#stopSending) {
        await this.send(20);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    };
    this.#sending = loop();
  }

  /** Sends `count` readings of random devices; each device's readings go to one partition, in order. */
  async send(count: number): Promise<void> {
    const byDevice = new Map<string, unknown[]>();
    for (let i = 0; i < count; i++) {
      const deviceId = `device-${Math.floor(this.#random.next() * devices)}`;
      const seq = (this.#sent.get(deviceId) ?? 0) + 1;
      this.#sent.set(deviceId, seq);
      const bodies = byDevice.get(deviceId) ?? [];
      bodies.push({ deviceId, seq, at: Date.now(), temperature: 15 + Math.round(this.#random.next() * 200) / 10 });
      byDevice.set(deviceId, bodies);
    }
    await Promise.all(
      [...byDevice].map(([partitionKey, bodies]) =>
        this.#producer.sendBatch(
          bodies.map((body) => ({ body })),
          { partitionKey },
        ),
      ),
    );
  }

  /** A driver process; `signalAt`: `<point>:<n>:<signal>`. */
  startDriver(signalAt?: string): {
    readonly child: Child<RecoveryTestMessage>;
    readonly messages: RecoveryTestMessage[];
  } {
    const messages: RecoveryTestMessage[] = [];
    const child = new Child<RecoveryTestMessage>({
      name: 'driver',
      script: 'test/e2e/recovery/driver-process.ts',
      env: {
        CHECKPOINT_URL: `az://${this.#name}/checkpoint`,
        OUTPUT_URL: `az://${this.#name}/output`,
        STORAGE: this.#azurite.connectionString,
        HUB: this.#emulator.connectionString,
        SIGNAL_AT: signalAt,
      },
      onMessage: (message) => messages.push(message),
      onLine: (line) => console.log(`driver: ${line}`),
    });
    this.#drivers.push(child);
    return { child, messages };
  }

  /** Stops sending, lets a last driver take in what has arrived, and compares its output with what was sent. */
  async stopAndJudge(driver: Child<RecoveryTestMessage>): Promise<Verdict> {
    this.#stopSending = true;
    await this.#sending;
    const stopped = driver.next('stopped', 60_000);
    driver.send({ type: 'stop' });
    await stopped;
    await driver.ended;
    const { lines } = await readCountLines(this.#container, 'output/counts/');
    return judge(this.#ledger(), lines);
  }

  async close(): Promise<void> {
    this.#stopSending = true;
    await Promise.all(this.#drivers.map((driver) => driver.kill('SIGKILL')));
    await this.#sending.catch(() => {});
    await this.#producer.close();
    await this.#emulator.stop();
  }

  #ledger(): LedgerContent {
    const entries = [...this.#sent].map(
      ([deviceId, last]) => [deviceId, { sent: [[deviceId, 1, last] as const], uncertain: [] }] as const,
    );
    const sent = [...this.#sent.values()].reduce((sum, last) => sum + last, 0);
    return { devices: new Map(entries), sent, uncertain: 0, open: [], lastSend: 0 };
  }
}
