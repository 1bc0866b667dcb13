import type { OnProgress, WalkProgress } from '../inspect/checkpoint-target.ts';

/** Where a bar is drawn; standard error, as a rule. */
export interface ProgressScreen {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

const width = 30;

/** A bar on a terminal, redrawn per percent; nothing where no person is watching. */
export class ProgressBar {
  readonly #screen: ProgressScreen;
  readonly #what: string;
  #shown = -1;

  constructor(what: string, screen: ProgressScreen = process.stderr) {
    this.#what = what;
    this.#screen = screen;
  }

  show({ done, total }: WalkProgress): void {
    if (this.#screen.isTTY !== true) return;
    const share = total === 0 ? 1 : Math.min(1, done / total);
    const percent = Math.floor(share * 100);
    if (percent === this.#shown) return;
    this.#shown = percent;
    const filled = Math.floor(share * width);
    const bar = '#'.repeat(filled).padEnd(width, '.');
    this.#screen.write(`\r${this.#what} [${bar}] ${String(percent).padStart(3)} %  ${done}/${total} objects`);
  }

  /** Takes the bar off the screen. */
  end(): void {
    if (this.#shown >= 0) this.#screen.write('\r\u001b[K');
    this.#shown = -1;
  }
}

/** Runs what takes its time with a bar. */
export async function withBar<R>(what: string, work: (onProgress: OnProgress) => Promise<R>): Promise<R> {
  const bar = new ProgressBar(what);
  try {
    return await work((progress) => bar.show(progress));
  } finally {
    bar.end();
  }
}
