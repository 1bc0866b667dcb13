/** The text of BENCHMARKS.md; its figures come from a run. */

export const introduction = `# Benchmarks

How fast Tidemark is, beside what one would use instead. Both sides of a row ran on the same machine, in turn, in one run of
\`npm run bench\`. Trust the ratios to about a tenth; the figures belong to this machine. **A ratio is how many times better
than the other side: more is always better, and 1 is a draw.** "Lowest to highest" is the spread of the ratio over the rounds
(of the figure, where nothing stands beside it); the rest are medians. A target that was missed is in the tables like one that was reached.

This page is made by \`npm run bench -- --report FILE\` from [bench/figures.json](bench/figures.json).`;

/** What follows the table of a benchmark: what the figures mean, and where a limit lies. In the order of the page. */
export const sections: Readonly<Record<string, string>> = {
  receive: '',
  emulator: '',
  'end-to-end': '',
  'checkpoint-overhead': '',
  'word-count': '',
  workers: '',
  timing: '',
  spark: `**Memory.** The target, a tenth of Spark's memory, is below what Node itself takes: see "resident memory, step by step" below.
An empty Node process is as large as the whole target, the engine and V8's young generation come on top.

**Words per second.** A batch of Spark costs some tens of milliseconds before its first row (jobs, stages, tasks, closures sent to
threads), one of Tidemark about one; so the smaller the batch, the larger the ratio. In large batches what is left is splitting lines
and looking words up in a hash table, which two threads of a JVM do about as fast as Node does in two and faster than it does in one.
No engine in one thread of Node can do more than the loop written by hand (see word count in memory).

**Start.** With batches of one second, the first one is due up to a second after the stream is ready, whichever engine runs it. That
wait is left out in one row and included in the other. What remains of Tidemark's start is Node's own (about 40 ms), loading its
modules and the first, uncompiled pass over 20,000 lines.`,
  interval: '',
  recovery: '',
  state: `**Beside Maps that store nothing.** A Map is given a new object and is done. The table finds the key among its bytes, decodes the
value, checks and encodes the new one for the log, and puts these bytes in the place of the old ones; what that costs is most of the
difference. Maps that encode their changes too, without checks, order or digests, cost more than the table: old objects scatter over
the heap, and the collector goes over all of them again and again. The table is a few typed arrays per bucket, whatever it holds.

**Pauses.** What the collector moves while a batch runs are the changes of that batch: some hundred bytes per changed key, until
it is committed. A longest collection is what the clock saw; with other work on the cores it is several times as long.`,
  'state-peers': `Both stores keep their data in files, ours is in memory and its changes go to the log; no side waits for a disk here. lmdb is native
code on a memory map, and still pays for pages: it copies every leaf it changes, and 100,000 random keys of five million lie on nearly as
many leaves of 4 KB, so a batch writes some hundred megabytes where ours writes the entries. With few keys, where many changes
share a leaf, lmdb comes close. slatedb crosses from JavaScript into Rust and back for every key it reads.`,
};

export function sectionOf(name: string): string {
  return sections[name] ?? '';
}

export const closing = `## What is not measured

- A real Event Hubs namespace and a real Azure account: the emulator and Azurite run on the same two cores as what is measured. Their
  latency and their limits are not in any figure, unless a row says that a latency was added.
- More than two cores, and more than one machine.
- Runs of days: growth over a long time is the subject of tests, not of these figures.
- Spark on a cluster, or with its write-ahead log; Spark ran in one JVM, as it would on this machine.

## How to repeat it

\`\`\`sh
npm run bench                       # everything above, about 20 minutes; the machine should have nothing else to do
npm run bench -- receive spark      # some of it
npm run bench -- --rounds 5         # more rounds of each comparison
npm run bench -- --list             # what there is, and what runs only when it is named
npm run bench -- --report FILE      # this page, the charts and bench/figures.json, from the JSON file of a run
\`\`\`

Spark needs Java 17 and pip: \`pip download pyspark\` brings its jars into \`.local/peers\`, and \`javac\` compiles the two programs in
\`bench/peers\`. Where that can't be had, its rows say "not run". [bench/README.md](bench/README.md) tells how a benchmark is written.`;
