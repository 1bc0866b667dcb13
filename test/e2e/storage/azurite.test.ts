import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { startAzurite } from '../../../src/testing/azurite.ts';
import { expectDone, id, text } from '../../support/object-store-suite.ts';

describe('startAzurite', () => {
  it('keeps what was written in its folder over a stop', async () => {
    const location = await mkdtemp(join(tmpdir(), 'tidemark-azurite-'));
    const first = await startAzurite({ location });
    const url = 'az://kept/root';
    const before = await openObjectStore(url, { connectionString: first.connectionString, createContainer: true });
    await expectDone(before.putIfAbsent('a', text('x'), id(1)));
    await first.stop();
    await first.stop();
    const second = await startAzurite({ location });
    const after = await openObjectStore(url, { connectionString: second.connectionString });
    expect(await after.get('a')).toMatchObject({ bytes: text('x') });
    await second.stop();
    await rm(location, { recursive: true });
  }, 60_000);

  it('says what is wrong when the port is taken', async () => {
    const azurite = await startAzurite();
    await expect(startAzurite({ port: azurite.port })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('EADDRINUSE'),
    });
    await azurite.stop();
  }, 60_000);

  it('ends when its parent is killed', async () => {
    const module = new URL('../../../src/testing/azurite.ts', import.meta.url).href;
    const script = `const { startAzurite } = await import(${JSON.stringify(module)});
      console.log((await startAzurite()).port);`;
    const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const port = Number(line);
    expect(await isListening(port)).toBe(true);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    // Bounded by the timeout of the test.
    while (await isListening(port)) await wait(20);
  }, 30_000);
});

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
