import type { WaitProgress } from '../operate/ask-driver.ts';
import type { ProgressScreen } from './progress-bar.ts';

/** A line on a terminal while a driver is asked; nothing where no person is watching. */
export class WaitLine {
  readonly #screen: ProgressScreen;
  #isShown = false;

  constructor(screen: ProgressScreen = process.stderr) {
    this.#screen = screen;
  }

  show({ step, waitedMs, timeoutMs }: WaitProgress): void {
    if (this.#screen.isTTY !== true) return;
    this.#isShown = true;
    const what = step === 'asked' ? 'the driver was asked' : 'the driver is on it';
    const [waited, timeout] = [waitedMs, timeoutMs].map((ms) => Math.round(ms / 1000));
    this.#screen.write(`\r\u001b[K${what}: ${waited} s of at most ${timeout} s`);
  }

  /** Takes the line off the screen. */
  end(): void {
    if (this.#isShown) this.#screen.write('\r\u001b[K');
    this.#isShown = false;
  }
}
