import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

test('Azurite and the emulator are gone after SIGKILL of the supervisor', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-parent-'));
  const parent = spawn(process.execPath, [join(import.meta.dirname, 'services-parent.ts'), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [line] = (await once(createInterface({ input: parent.stdout }), 'line')) as [string];
    const { ports } = JSON.parse(line) as { ports: number[] };
    expect(await Promise.all(ports.map(listens))).toEqual([true, true]);
    parent.kill('SIGKILL');
    await expect.poll(() => Promise.all(ports.map(listens)), { timeout: 15_000 }).toEqual([false, false]);
  } finally {
    parent.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
