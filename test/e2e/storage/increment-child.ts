/** Increments the counter of a file store until it is killed or has done its share; prints a line per increment. */
import { SystemRandom } from '../../../src/base/random.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';

const [url, share] = process.argv.slice(2);
const random = new SystemRandom();
const store = await openObjectStore(url!);
for (let done = 0; done < Number(share); ) {
  const found = await store.get('counter');
  if (found.status === 'missing') throw new Error('the counter is gone');
  const commitId = random.id();
  const value = Number.parseInt(Buffer.from(found.bytes).toString(), 10) + 1;
  const bytes = Buffer.from(`${value}\n${commitId}`);
  const outcome = await store.compareAndSwap('counter', bytes, found.etag, commitId);
  if (outcome.status === 'unknown') throw outcome.cause;
  if (outcome.status !== 'done') continue;
  done += 1;
  process.stdout.write(`${value}\n`);
}
