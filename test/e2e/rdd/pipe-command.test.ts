import { describe, expect, it } from 'vitest';
import { newContext } from '../../unit/rdd/fixture.ts';

const node = process.execPath;
const script = (code: string): readonly string[] => [node, '-e', code];

describe('pipeCommand', () => {
  it('gives each partition to a process as lines and takes its lines as rows', async () => {
    const rdd = newContext().parallelize<unknown>([1, 'two words', ['a', 3], 4], 2);
    expect(await rdd.pipeCommand('cat').collectPartitions()).toEqual([
      ['1', 'two words'],
      ['(a,3)', '4'],
    ]);
    const options = { env: { ...process.env, GREETING: 'hello' }, cwd: '/' };
    const told = rdd.pipeCommand(script('console.log(process.env.GREETING, process.cwd())'), options);
    expect(await told.collect()).toEqual(['hello /', 'hello /']);
  });

  it('does not go through a shell', async () => {
    const rdd = newContext().parallelize(['x'], 1);
    expect(await rdd.pipeCommand(['echo', '$HOME; exit 1']).collect()).toEqual(['$HOME; exit 1']);
    expect(await rdd.pipeCommand('echo a | b').collect()).toEqual(['a | b']);
  });

  it('carries more than pipes hold in both directions', async () => {
    const rows = Array.from({ length: 200_000 }, (_, i) => `row ${i} ü`);
    const rdd = newContext().parallelize(rows, 1).pipeCommand('cat');
    const back = await rdd.collect();
    expect(back.length).toBe(rows.length);
    expect(back.every((row, i) => row === rows[i])).toBe(true);
    // Neither reads all: the program its input, then the action its output.
    expect(await newContext().parallelize(rows, 1).pipeCommand('head -n 2').collect()).toEqual(rows.slice(0, 2));
    expect(await rdd.take(3)).toEqual(rows.slice(0, 3));
  });

  it('fails the task with what the program complained about', async () => {
    const rdd = newContext(1, { taskAttemptsMax: 2 }).parallelize([1], 1);
    await expect(rdd.pipeCommand(script('console.error("no disk"); process.exit(3)')).count()).rejects.toMatchObject({
      code: 'TASK_FAILED',
      message: expect.stringMatching(/exited with 3: no disk/),
    });
    await expect(rdd.pipeCommand('no-such-program-anywhere').count()).rejects.toMatchObject({
      code: 'TASK_FAILED',
      message: expect.stringContaining('ENOENT'),
    });
    await expect(rdd.pipeCommand(script('process.kill(process.pid, "SIGKILL")')).count()).rejects.toMatchObject({
      message: expect.stringContaining('was ended by SIGKILL'),
    });
    expect(() => rdd.pipeCommand(' ')).toThrowError(expect.objectContaining({ code: 'OPTION_INVALID' }));
  });

  it('ends the program when the job is cancelled', async () => {
    const cancel = new AbortController();
    const rdd = newContext(1, { signal: cancel.signal }).parallelize([1], 1);
    const waiting = rdd
      .pipeCommand(script('console.log("up"); setInterval(() => {}, 1000)'))
      .foreachPartition(() => {});
    const seen = rdd.pipeCommand(script('console.log("up"); setInterval(() => {}, 1000)')).map((line) => {
      cancel.abort();
      return line;
    });
    await expect(seen.count()).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});
