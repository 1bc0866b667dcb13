import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TidemarkError } from '../../base/errors.ts';

/**
 * Makes this process the only one that uses the folder; returns what gives it back. A lock left by a process that no
 * longer runs is taken over, so a killed emulator starts again without help.
 *
 * @throws TidemarkError EMULATOR_UNAVAILABLE
 */
export function lockDataFolder(folder: string): () => void {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'emulator.lock');
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 0)
        throw inUse(folder, path, 'another process');
      const owner = readOwner(path);
      if (owner !== undefined && isRunning(owner)) throw inUse(folder, path, `process ${owner}`);
      rmSync(path, { force: true });
    }
  }
  let locked = true;
  return () => {
    if (locked) rmSync(path, { force: true });
    locked = false;
  };
}

function readOwner(path: string): number | undefined {
  try {
    const owner = Number(readFileSync(path, 'utf8'));
    return Number.isSafeInteger(owner) && owner > 0 ? owner : undefined;
  } catch {
    return undefined; // Gone meanwhile: try again.
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function inUse(folder: string, path: string, owner: string): TidemarkError {
  return new TidemarkError(
    'EMULATOR_UNAVAILABLE',
    `The data folder ${folder} is used by ${owner}. Stop it, choose another folder, or delete ${path} if nothing uses it.`,
    { context: { folder } },
  );
}
