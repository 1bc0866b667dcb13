// A child process of bounds.test.ts: starts a source, reads, stops it, and must then end by itself.
import { drain, startSource } from './support.ts';

const [connectionString, count] = process.argv.slice(2);
const { source } = await startSource({ connectionString: connectionString! });
await drain(source, Number(count));
await source.stop();
process.stdout.write('stopped');
