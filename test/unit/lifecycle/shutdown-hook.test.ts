import { EventEmitter } from 'node:events';
import { describe, expect, test } from 'vitest';
import { ShutdownHook, type SignalTarget } from '../../../src/execution/shutdown-hook.ts';
import { settle } from '../engine/support.ts';

type Listener = Parameters<SignalTarget['off']>[1];

class TestProcess extends EventEmitter implements SignalTarget {
  readonly pid = 7;
  readonly killed: string[] = [];
  declare prependListener: (signal: string, listener: Listener) => this;
  declare off: (signal: string, listener: Listener) => this;

  signal(signal: 'SIGTERM' | 'SIGINT'): void {
    this.emit(signal, signal);
  }

  kill(_pid: number, signal: string): void {
    this.killed.push(signal);
  }

  get signalListeners(): number {
    return this.listenerCount('SIGTERM') + this.listenerCount('SIGINT');
  }
}

class TestRun {
  readonly stopping = Promise.withResolvers<void>();
  readonly signals: string[] = [];

  shutDown(signal: string): Promise<void> {
    this.signals.push(signal);
    return this.stopping.promise;
  }
}

describe('the shutdown hook', () => {
  test('listens while there is a stream, once however many there are', () => {
    const target = new TestProcess();
    const hook = new ShutdownHook(target);
    const runs = Array.from({ length: 20 }, () => new TestRun());
    expect(target.signalListeners).toBe(0);
    for (const run of runs) hook.add(run);
    expect(target.signalListeners).toBe(2);
    for (const run of runs) hook.remove(run);
    expect(target.signalListeners).toBe(0);
    hook.remove(runs[0]!);
    expect(target.signalListeners).toBe(0);
  });

  test('stops all streams on a signal, then lets the signal do its work', async () => {
    const target = new TestProcess();
    const hook = new ShutdownHook(target);
    const runs = [new TestRun(), new TestRun()];
    for (const run of runs) hook.add(run);
    target.signal('SIGTERM');
    await settle();
    expect(runs.map(({ signals }) => signals)).toEqual([['SIGTERM'], ['SIGTERM']]);
    runs[0]!.stopping.resolve();
    hook.remove(runs[0]!);
    await settle();
    expect(target.killed).toEqual([]);
    runs[1]!.stopping.reject(new Error('no way to stop'));
    hook.remove(runs[1]!);
    await settle();
    expect(target.killed).toEqual(['SIGTERM']);
    expect(target.signalListeners).toBe(0);
  });

  test('a second signal ends the process at once', async () => {
    const target = new TestProcess();
    const hook = new ShutdownHook(target);
    hook.add(new TestRun());
    target.signal('SIGINT');
    await settle();
    target.signal('SIGTERM');
    expect(target.killed).toEqual(['SIGTERM']);
  });

  test.each(['on', 'once'] as const)(
    "a program's own handler (%s) comes first and decides when to exit",
    async (on) => {
      const target = new TestProcess();
      const order: string[] = [];
      target[on]('SIGTERM', () => void order.push('program'));
      const hook = new ShutdownHook(target);
      const run = new TestRun();
      hook.add({
        shutDown: (signal) => {
          order.push('hook');
          return run.shutDown(signal);
        },
      });
      target.signal('SIGTERM');
      run.stopping.resolve();
      await settle();
      expect(order).toEqual(['program', 'hook']);
      expect(target.killed).toEqual([]);
    },
  );
});
