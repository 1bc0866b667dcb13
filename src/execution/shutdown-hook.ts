const signals = ['SIGTERM', 'SIGINT'] as const;

/** What the hook needs of a process. */
export interface SignalTarget {
  readonly pid: number;
  prependListener(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  listenerCount(signal: NodeJS.Signals): number;
  kill(pid: number, signal: NodeJS.Signals): unknown;
}

/** A running stream, as the hook sees it. */
export interface Stoppable {
  /** Ends the stream as its settings say; a stop that is under way already is waited for, not hurried. Its errors are told elsewhere. */
  shutDown(signal: string): Promise<void>;
}

/**
 * Ends the running streams when the process is told to end, then lets the signal do what it would have done.
 *
 * In place only while there is a running stream, one listener per signal. The first signal stops the streams; a second one
 * ends the process at once. When all have ended, the signal is sent again without us, so that whoever waits for this process
 * sees what killed it. A program with a handler of its own for the signal decides itself when to exit.
 * Source: Spark's shutdown hook.
 */
export class ShutdownHook {
  readonly #target: SignalTarget;
  readonly #running = new Set<Stoppable>();
  #isShuttingDown = false;

  constructor(target: SignalTarget = process) {
    this.#target = target;
  }

  add(stream: Stoppable): void {
    if (this.#running.size === 0 && !this.#isShuttingDown) this.#install();
    this.#running.add(stream);
  }

  remove(stream: Stoppable): void {
    this.#running.delete(stream);
    if (this.#running.size === 0 && !this.#isShuttingDown) this.#uninstall();
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    if (this.#isShuttingDown) {
      this.#uninstall();
      this.#passOn(signal);
      return;
    }
    this.#isShuttingDown = true;
    // Called before the handlers of the program, so one for a single signal is still to be seen.
    const isAlone = this.#target.listenerCount(signal) === 1;
    // Acts after them: one may ask for a graceful stop.
    setImmediate(() => void this.#shutDown(signal, isAlone));
  };

  async #shutDown(signal: NodeJS.Signals, isAlone: boolean): Promise<void> {
    await Promise.allSettled([...this.#running].map((stream) => stream.shutDown(signal)));
    // Whoever awaits the termination comes first: its error decides the exit code.
    setImmediate(() => {
      this.#uninstall();
      this.#isShuttingDown = false;
      if (isAlone) this.#passOn(signal);
      if (this.#running.size > 0) this.#install();
    });
  }

  #passOn(signal: NodeJS.Signals): void {
    if (this.#target.listenerCount(signal) === 0) this.#target.kill(this.#target.pid, signal);
  }

  #install(): void {
    for (const signal of signals) this.#target.prependListener(signal, this.#onSignal);
  }

  #uninstall(): void {
    for (const signal of signals) this.#target.off(signal, this.#onSignal);
  }
}

/** Of this process. */
export const shutdownHook: ShutdownHook = new ShutdownHook();
