import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../scripts/steps.ts';

const version = '3.5.3';
const folder = join(projectRoot, '.local', 'peers', `spark-${version}`);

/** JVMs that can run the DStreams programs: the arguments before a program's own. */
export interface SparkPeer {
  readonly version: string;
  readonly wordCount: readonly string[];
  readonly interval: readonly string[];
}

// What Spark 3.5's own launcher opens on Java 17.
const opened = [
  'java.base/java.lang',
  'java.base/java.lang.invoke',
  'java.base/java.io',
  'java.base/java.net',
  'java.base/java.nio',
  'java.base/java.util',
  'java.base/java.util.concurrent',
  'java.base/java.util.concurrent.atomic',
  'java.base/sun.nio.ch',
  'java.base/sun.nio.cs',
  'java.base/sun.security.action',
  'java.base/sun.util.calendar',
];

/**
 * Brings Spark's jars (they come with the Python package pyspark) into `.local/peers`, and compiles the programs.
 * Gives the reason as a text when they can't be had.
 */
export function installSpark(): SparkPeer | string {
  for (const tool of ['java', 'javac', 'pip', 'tar']) {
    if (spawnSync(tool, ['--version']).error !== undefined) return `"${tool}" is not installed`;
  }
  const jars = join(folder, 'jars');
  if (!existsSync(jars)) {
    console.log(`installing Spark ${version} into .local/peers (320 MB, once)`);
    const download = `${folder}.download`;
    rmSync(download, { recursive: true, force: true });
    mkdirSync(download, { recursive: true });
    const failure =
      run('pip', [
        'download',
        '--no-deps',
        // Only there are the jars without a build; what pip needs to read its metadata may come as it likes.
        '--no-binary',
        'pyspark',
        '-d',
        download,
        `pyspark==${version}`,
      ]) ??
      run('tar', ['xzf', join(download, `pyspark-${version}.tar.gz`), '-C', download, `pyspark-${version}/deps/jars`]);
    if (failure !== undefined) return failure;
    mkdirSync(folder, { recursive: true });
    renameSync(join(download, `pyspark-${version}`, 'deps', 'jars'), jars);
    rmSync(download, { recursive: true, force: true });
  }
  const classes = join(folder, 'classes');
  mkdirSync(classes, { recursive: true });
  if (readdirSync(jars).length === 0) return `${jars} is empty: delete it`;
  const programs = ['SparkWordCount', 'SparkInterval'].map((name) => join(import.meta.dirname, `${name}.java`));
  const failure = run('javac', ['-nowarn', '-cp', join(jars, '*'), '-d', classes, ...programs]);
  if (failure !== undefined) return failure;
  const command = (program: string): string[] => [
    'java',
    // What spark-submit gives a driver that asks for nothing; Java alone would take a quarter of the machine.
    '-Xmx1g',
    ...opened.map((name) => `--add-opens=${name}=ALL-UNNAMED`),
    '-cp',
    `${classes}:${join(jars, '*')}`,
    program,
  ];
  return { version, wordCount: command('SparkWordCount'), interval: command('SparkInterval') };
}

function run(command: string, args: readonly string[]): string | undefined {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  return status === 0 ? undefined : `${command} ${args[0]} failed: ${stderr.trim().split('\n').at(-1)}`;
}
