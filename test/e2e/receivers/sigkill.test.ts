import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { afterEach, expect, test } from 'vitest';
import { Child } from '../../../scripts/demo/child.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { useAzurite } from '../../support/azurite.ts';

type Message =
  | { readonly type: 'recovered'; readonly epoch: number }
  | { readonly type: 'batch'; readonly records: number }
  | { readonly type: 'stopped' }
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

/** Gives out numbered messages, `<n>/<attempt>`, and again on every new connection those that were not acknowledged. */
class Broker {
  readonly acknowledged = new Map<number, string>();
  readonly given = new Set<string>();
  readonly #server: Server;
  readonly #attempts = new Map<number, number>();
  #connection: Socket | undefined;
  #next = 0;
  #isGiving = true;

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => this.#serve(socket));
  }

  static async start(): Promise<Broker> {
    const broker = new Broker(createServer());
    broker.#server.listen(0, '127.0.0.1');
    await once(broker.#server, 'listening');
    return broker;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get waiting(): number {
    return this.#next - this.acknowledged.size;
  }

  stopGiving(): void {
    this.#isGiving = false;
  }

  close(): void {
    this.#connection?.destroy();
    this.#server.close();
  }

  #serve(socket: Socket): void {
    this.#connection?.destroy();
    this.#connection = socket;
    socket.on('error', () => {});
    for (let n = 0; n < this.#next; n++) if (!this.acknowledged.has(n)) this.#give(socket, n);
    const lines = createInterface({ input: socket });
    // It passes the socket's errors on: a process that is killed resets its connection.
    lines.on('error', () => {});
    lines.on('line', (line) => {
      this.acknowledged.set(Number.parseInt(line, 10), line);
      this.#fill(socket);
    });
    this.#fill(socket);
  }

  /** Some messages are always under way. */
  #fill(socket: Socket): void {
    while (this.#isGiving && this.#connection === socket && this.waiting < 50) this.#give(socket, this.#next++);
  }

  #give(socket: Socket, n: number): void {
    const attempt = (this.#attempts.get(n) ?? 0) + 1;
    this.#attempts.set(n, attempt);
    this.given.add(`${n}/${attempt}`);
    socket.write(`${n}/${attempt}\n`);
  }
}

const fixture = useAzurite();
let broker: Broker | undefined;
const children: Child<Message>[] = [];

afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.kill()));
  broker?.close();
});

test('a receiver in a process that is killed again and again loses nothing that it acknowledged, and doubles nothing', {
  timeout: 120_000,
}, async () => {
  broker = await Broker.start();
  const url = fixture.newUrl();
  const env = {
    CHECKPOINT_URL: `${url}/checkpoint`,
    OUTPUT_URL: `${url}/output`,
    STORAGE: fixture.connectionString,
    BROKER_PORT: String(broker.port),
  };
  const startChild = (): Child<Message> => {
    const child = new Child<Message>({
      name: 'receiver',
      script: 'test/e2e/receivers/receiver-process.ts',
      env,
      onMessage: (message) => message.type === 'failed' && console.log(message),
      onLine: (line) => console.log(`receiver: ${line}`),
    });
    children.push(child);
    return child;
  };
  const random = new SeededRandom(5);
  for (let kill = 0; kill < 8; kill++) {
    const child = startChild();
    await child.next('recovered', 30_000);
    const ms = random.next() * 1200;
    await new Promise((resolve) => setTimeout(resolve, ms));
    expect(await child.kill('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });
  }
  const last = startChild();
  await last.next('recovered', 30_000);
  broker.stopGiving();
  await expect.poll(() => broker!.waiting, { timeout: 30_000 }).toBe(0);
  const stopped = last.next('stopped', 30_000);
  last.send({ type: 'stop' });
  await stopped;

  const rows = await linesOf(`${url}/output`, fixture.connectionString);
  console.log(
    `8 kills: ${broker.acknowledged.size} acknowledged, ${rows.length} processed, ${broker.given.size} given`,
  );
  expect(broker.acknowledged.size).toBeGreaterThan(500);
  expect(new Set(rows).size).toBe(rows.length);
  const processed = new Set(rows);
  expect([...broker.acknowledged.values()].filter((line) => !processed.has(line))).toEqual([]);
  expect(rows.filter((line) => !broker!.given.has(line))).toEqual([]);
});

async function linesOf(url: string, connectionString: string): Promise<string[]> {
  const store = await openObjectStore(url, { connectionString });
  const lines: string[] = [];
  for await (const { name } of store.list('')) {
    const object = await store.get(name);
    if (object.status !== 'found') throw new Error(`${name} is gone`);
    const text = Buffer.from(object.bytes).toString('utf8').trimEnd();
    if (text !== '') lines.push(...text.split('\n'));
  }
  await store.close();
  return lines;
}
