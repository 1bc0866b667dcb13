import type { RewindInfo } from '../../sinks/sink.ts';
import type { SimulatedDriver } from './driver.ts';
import type { WrittenLedger } from './written-ledger.ts';

/** Where sinks write after the commit: at another place, where the history watches it. */
export abstract class SimulatedTable<T> {
  readonly kind = 'simulated';
  readonly description: string;
  protected readonly driver: SimulatedDriver<T>;
  protected readonly output: string;

  constructor(driver: SimulatedDriver<T>, output: string) {
    this.driver = driver;
    this.output = output;
    this.description = `simulated ${output}`;
  }

  protected get written(): WrittenLedger<T> {
    return this.driver.simulation.history.written;
  }

  open(): Promise<void> {
    return this.driver.network(() => this.written.opened(this.output));
  }

  onRewind(rewind: RewindInfo): Promise<void> {
    return this.driver.remote(() => this.written.rewound(this.output, rewind));
  }
}
