import { afterEach, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { useAzurite } from '../../support/azurite.ts';
import { Application, type RecoveryTestMessage } from './application.ts';

const fixture = useAzurite();
const exact = { lost: 0, duplicated: 0, outOfOrder: 0, wrongTotals: 0, clean: true };
let application: Application | undefined;
let applications = 0;

afterEach(async () => {
  await application?.close();
  application = undefined;
});

async function startApplication(): Promise<Application> {
  application = await Application.start(`recovery-${++applications}`, fixture.azurite);
  application.keepSending();
  return application;
}

/** Of the batches a driver has said it completed, in order. */
function batchTimes({ messages }: { readonly messages: readonly RecoveryTestMessage[] }): number[] {
  return messages.flatMap((message) => (message.type === 'batch' ? [message.batchTimeMs] : []));
}

describe('a driver process kills itself with SIGKILL', () => {
  test.each([
    'recovery:fenced:1',
    'recovery:republished:1',
    'batch:planned:5',
    'batch:staged:6',
    'commit:manifest-written:1',
    'commit:before-record:7',
    'commit:record-written:8',
    'batch:input-freed:9',
    'publish:before:5',
    'publish:one-done:9',
    'retention:half-deleted:1',
  ])('at %s > the next one loses and doubles nothing', async (point) => {
    const app = await startApplication();
    const first = app.startDriver(`${point}:SIGKILL`);
    expect(await first.child.ended).toEqual({ code: null, signal: 'SIGKILL' });
    const second = app.startDriver();
    await second.child.next('batch', 30_000);
    expect(await app.stopAndJudge(second.child)).toMatchObject(exact);
  });
});

describe('a driver frozen while a newer one takes over', () => {
  test.each(['batch:end:8', 'batch:staged:8', 'commit:before-record:8', 'commit:record-written:8', 'publish:before:8'])(
    'at %s > commits nothing, publishes nothing, and says why it ends',
    async (point) => {
      const app = await startApplication();
      const zombie = app.startDriver(`${point}:SIGSTOP`);
      await zombie.child.next('freezing', 30_000);
      const successor = app.startDriver();
      const { epoch } = await successor.child.next('recovered', 30_000);
      for (let i = 0; i < 4; i++) await successor.child.next('batch', 30_000);
      const before = batchTimes(zombie).length;
      const failing = zombie.child.next('failed', 30_000);
      zombie.child.signal('SIGCONT');
      const failed = await failing;
      expect(['FENCED', 'SOURCE_FENCED']).toContain(failed.code);
      expect((await zombie.child.ended).code).toBe(1);
      if (failed.code === 'FENCED') expect(failed.message).toContain(String(epoch));
      expect(await app.stopAndJudge(successor.child)).toMatchObject(exact);
      // What it tells of after its sleep was in the log before the newer driver came, which then never ran it.
      const late = batchTimes(zombie).slice(before);
      expect(batchTimes(successor).filter((timeMs) => late.includes(timeMs))).toEqual([]);
    },
  );
});

test('40 SIGKILLs at random moments lose and double nothing', { timeout: 480_000 }, async () => {
  const app = await startApplication();
  const random = new SeededRandom(2026);
  for (let kill = 0; kill < 40; kill++) {
    const driver = app.startDriver();
    // Every third one dies while it starts or recovers, the others after it has come some way.
    if (kill % 3 !== 0) await driver.child.next('recovered', 30_000);
    const ms = 100 + random.next() * (kill % 3 === 0 ? 1500 : 5000);
    await Promise.race([new Promise((resolve) => setTimeout(resolve, ms)), driver.child.ended]);
    expect(await driver.child.kill('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });
  }
  const last = app.startDriver();
  await last.child.next('batch', 30_000);
  const verdict = await app.stopAndJudge(last.child);
  console.log(`40 kills: ${verdict.sent} sent, ${verdict.counted} counted`);
  expect(verdict).toMatchObject(exact);
});
