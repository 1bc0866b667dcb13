import { Child } from './child.ts';
import { type Display, formatBatch, formatRecovery } from './display.ts';
import type { DriverMessage } from './protocol.ts';

export interface DriverKeeperOptions {
  /** Relative to the project. */
  readonly script: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly display: Display;
  /** Called once, when the driver ended although nobody asked it to. */
  readonly onFailure: (reason: string) => void;
}

const startTimeoutMs = 60_000;
const stopTimeoutMs = 120_000;

/**
 * Keeps one driver process: starts it, kills it without warning, starts the next one, and at last stops it in good
 * order. Shows what it reports. At most one driver runs at a time.
 */
export class DriverKeeper {
  readonly #options: DriverKeeperOptions;
  #child: Child<DriverMessage> | undefined;
  #starts = 0;
  /** Batches of the present process. */
  #batches = 0;
  #expected = false;
  #failed = false;

  constructor(options: DriverKeeperOptions) {
    this.#options = options;
  }

  get kills(): number {
    return Math.max(0, this.#starts - 1);
  }

  /** True once the present process has finished a batch: a kill before that would test nothing but the start. */
  get hasProgressed(): boolean {
    return this.#batches > 0;
  }

  /** Resolves when the driver has told what it recovered. @throws TidemarkError INTERNAL when it doesn't come up */
  async start(): Promise<void> {
    const { display, env, script } = this.#options;
    this.#starts += 1;
    this.#batches = 0;
    this.#expected = false;
    const first = this.#starts === 1;
    const child = new Child<DriverMessage>({
      name: 'driver',
      script,
      env,
      onMessage: (message) => this.#show(message, first),
      onLine: (line) => display.line(`driver: ${line}`),
    });
    this.#child = child;
    void child.ended.then(({ code, signal }) => {
      if (this.#child === child && !this.#expected)
        this.#fail(`the driver ended by itself (${signal ?? `exit code ${code}`})`);
    });
    await child.next('recovered', startTimeoutMs);
  }

  /** SIGKILL, then the next process. */
  async crash(): Promise<void> {
    this.#expected = true;
    await this.#child?.kill('SIGKILL');
    this.#options.display.line('driver killed (SIGKILL), starting the next one');
    await this.start();
  }

  /** Graceful: what has arrived is processed, committed and published. Resolves with whether that worked. */
  async stop(): Promise<boolean> {
    const child = this.#child;
    if (!child || this.#failed) return false;
    const stopped = child.next('stopped', stopTimeoutMs).then(
      () => true,
      () => false,
    );
    this.#expected = true;
    child.send({ type: 'stop' });
    const good = await stopped;
    const { code } = (await child.endsWithin(good ? 10_000 : 0)) ? await child.ended : { code: null };
    return good && code === 0;
  }

  /** At once. */
  async kill(): Promise<void> {
    this.#expected = true;
    await this.#child?.kill();
  }

  #show(message: DriverMessage, first: boolean): void {
    const { display } = this.#options;
    switch (message.type) {
      case 'recovered': {
        const fresh = first && message.stateKeys === 0 && message.batchesReplayed === 0;
        display.line(
          fresh ? `driver started in ${Math.round(message.tookMs)} ms, nothing to recover` : formatRecovery(message),
        );
        return;
      }
      case 'batch':
        this.#batches += 1;
        display.line(formatBatch(message));
        return;
      case 'table':
        display.table(message.rows);
        return;
      case 'failed':
        this.#fail(`${message.code}: ${message.message}`);
        return;
      case 'stopped':
        return;
    }
  }

  #fail(reason: string): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#options.onFailure(reason);
  }
}
