import { spawn } from 'node:child_process';
import { join } from 'node:path';

export const projectRoot: string = join(import.meta.dirname, '..');

/** One thing a script does, with a name for the report. Resolves to whether it went well; prints its own findings. */
export interface Step {
  readonly name: string;
  readonly run: () => Promise<boolean>;
}

/** Runs every step, also after a failed one, so that one run shows all there is to mend. Resolves with the names of the failed ones. */
export async function runSteps(steps: readonly Step[]): Promise<string[]> {
  const failed: string[] = [];
  for (const step of steps) {
    const startedMs = performance.now();
    const good = await step.run();
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    console.log(`${good ? 'ok    ' : 'FAILED'} ${step.name} (${seconds} s)`);
    if (!good) failed.push(step.name);
  }
  return failed;
}

/** A tool from node_modules/.bin, its output passed through. */
export function tool(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(join(projectRoot, 'node_modules', '.bin', name), args, {
      cwd: projectRoot,
      env: { ...process.env, ...env },
      stdio: 'inherit',
      shell: process.platform === 'win32',
    });
    const pass = (signal: NodeJS.Signals): void => {
      child.kill(signal);
    };
    process.on('SIGINT', pass).on('SIGTERM', pass).on('SIGHUP', pass);
    const end = (good: boolean): void => {
      process.off('SIGINT', pass).off('SIGTERM', pass).off('SIGHUP', pass);
      resolve(good);
    };
    child.on('error', (error) => {
      console.error(`${name} could not be started: ${error.message}`);
      end(false);
    });
    child.on('exit', (code, signal) => {
      end(code === 0);
      // A run that was stopped from outside must not go on with the next step.
      if (signal === 'SIGINT' || signal === 'SIGTERM' || signal === 'SIGHUP') process.exit(130);
    });
  });
}
