import type { DStreamGraph } from '../dstream/graph.ts';
import { SourceNode } from '../dstream/source-node.ts';
import { StatefulNode } from '../dstream/stateful-node.ts';
import type { StreamNode } from '../dstream/stream-node.ts';
import { isReadByWorkers } from './source-lines.ts';

/**
 * The streams that worker threads compute: all but sources that only the driver's thread can read, state that can't be
 * divided, and what follows from that state.
 */
export function remoteStreams(graph: DStreamGraph): ReadonlySet<StreamNode<unknown>> {
  const followsWhole = new Set<StreamNode<unknown>>();
  // Parents come first.
  for (const stream of graph.streams) {
    const isWhole = stream instanceof StatefulNode && !stream.isDivisible;
    if (isWhole || stream.parents.some((parent) => followsWhole.has(parent))) followsWhole.add(stream);
  }
  return new Set(
    graph.streams.filter((stream) => {
      return stream instanceof SourceNode ? isReadByWorkers(stream.source) : !followsWhole.has(stream);
    }),
  );
}
