import { fork } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { TidemarkError } from '../../src/base/errors.ts';
import { projectRoot } from '../steps.ts';

export interface ChildOptions<M> {
  /** For messages: `driver`, `generator`. */
  readonly name: string;
  /** Relative to the project. */
  readonly script: string;
  readonly args?: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onMessage: (message: M) => void;
  /** What it prints, line by line. */
  readonly onLine: (line: string) => void;
}

export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * A process of the demo. It has a session of its own, so that Ctrl-C reaches only the supervisor, which ends the others
 * in order; and it dies with the supervisor, however that ends (die-with-parent.ts).
 */
export class Child<M extends { readonly type: string }> {
  readonly name: string;
  /** Resolves when the process has ended; never rejects. */
  readonly ended: Promise<ChildEnd>;
  readonly #process: ReturnType<typeof fork>;
  readonly #waiting = new Map<string, ((message: M) => void)[]>();
  readonly #received = new Set<string>();

  constructor(options: ChildOptions<M>) {
    this.name = options.name;
    this.#process = fork(join(projectRoot, options.script), [...(options.args ?? [])], {
      cwd: projectRoot,
      detached: true,
      // Loading the SDKs is most of a start; compiled code is kept between lives.
      env: { NODE_COMPILE_CACHE: join(projectRoot, '.local', 'compile-cache'), ...process.env, ...options.env },
      execArgv: ['--import', new URL('./die-with-parent.ts', import.meta.url).href],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', options.onLine);
    }
    this.#process.on('message', (message) => {
      const known = message as M;
      this.#received.add(known.type);
      options.onMessage(known);
      for (const resolve of this.#waiting.get(known.type) ?? []) resolve(known);
      this.#waiting.delete(known.type);
    });
    this.ended = new Promise((resolve) => {
      // `close`, not `exit`: what it printed last is read by then.
      this.#process.once('close', (code, signal) => resolve({ code, signal }));
      this.#process.once('error', (error) => {
        options.onLine(error.message);
        resolve({ code: 1, signal: null });
      });
    });
  }

  /** The next message of this type; one that came before the call doesn't count. @throws TidemarkError INTERNAL when the process ends, or takes longer than `timeoutMs` */
  async next<T extends M['type']>(type: T, timeoutMs: number): Promise<Extract<M, { type: T }>> {
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Extract<M, { type: T }>>((resolve, reject) => {
        const earlier = this.#received.has(type) ? `, though it had sent one before this was waited for` : '';
        const fail = (what: string): void =>
          reject(new TidemarkError('INTERNAL', `The ${this.name} ${what}${earlier}.`));
        const resolvers = this.#waiting.get(type) ?? [];
        resolvers.push((message) => resolve(message as Extract<M, { type: T }>));
        this.#waiting.set(type, resolvers);
        timer = setTimeout(() => fail(`did not send "${type}" within ${timeoutMs} ms`), timeoutMs);
        void this.ended.then(({ code, signal }) =>
          fail(`ended (${signal ?? `exit code ${code}`}) before it sent "${type}"`),
        );
      });
    } finally {
      clearTimeout(timer);
    }
  }

  send(message: { readonly type: string }): void {
    // A process that has just ended is noticed through `ended`.
    if (this.#process.connected) this.#process.send(message, () => {});
  }

  /** For the likes of SIGSTOP and SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Resolves when it is gone. Idempotent. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<ChildEnd> {
    this.#process.kill(signal);
    return this.ended;
  }

  /** Waits for the end, `timeoutMs` at most; then it is killed. True when it ended by itself. */
  async endsWithin(timeoutMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs);
    });
    const inTime = await Promise.race([this.ended.then(() => true), late]);
    clearTimeout(timer);
    if (!inTime) await this.kill();
    return inTime;
  }
}
