import type { DStreamGraph } from '../dstream/graph.ts';
import type { Output } from '../dstream/output.ts';
import { SourceNode } from '../dstream/source-node.ts';
import type { StreamNode } from '../dstream/stream-node.ts';
import type { DeliveryGuarantee, PathGuarantee } from '../observe/streaming-listener.ts';
import type { Sink } from '../sinks/sink.ts';
import type { Source } from '../sources/source.ts';

interface Delivery {
  readonly guarantee: DeliveryGuarantee;
  readonly why: string;
}

/**
 * What is promised of every row on its way from each source to each output that depends on it (decision A9). It holds for
 * processes that may die anywhere; docs/guarantees.md tells under which assumptions.
 */
export function pathGuarantees(graph: DStreamGraph, hasCheckpoint: boolean): readonly PathGuarantee[] {
  return graph.outputs.flatMap((output) =>
    sourcesOf(output.stream).map(({ uid, source }): PathGuarantee => {
      const path = hasCheckpoint ? together(ofSource(source), ofOutput(output)) : withoutCheckpoint;
      return { source: uid, output: output.uid, ...path };
    }),
  );
}

const withoutCheckpoint: Delivery = {
  guarantee: 'at most once',
  why: 'there is no checkpoint: what this process has not written when it ends is lost',
};

function together(source: Delivery, output: Delivery): Delivery {
  if (source.guarantee === 'exactly once') return output;
  if (output.guarantee === 'exactly once') return source;
  const why = `${source.why}; ${output.why}`;
  return { guarantee: source.guarantee === output.guarantee ? source.guarantee : 'none', why };
}

function ofSource(source: Source<unknown>): Delivery {
  if (source.delivery !== undefined) return source.delivery;
  if (source.isRecoverable === false) {
    return { guarantee: 'at most once', why: `records of ${source.kind} end with this process` };
  }
  return { guarantee: 'exactly once', why: 'what a batch reads is recorded, and read again after a crash' };
}

function ofOutput(output: Output): Delivery {
  switch (output.kind) {
    case 'foreach':
      return {
        guarantee: 'at least once',
        why: 'the function acts during the batch; a replay gives it the same rows under the same batch id',
      };
    case 'print':
      return { guarantee: 'at most once', why: 'printed after the commit, not again after a crash' };
    case 'sink':
      return ofSink(output.sink);
  }
}

function ofSink(sink: Sink<unknown>): Delivery {
  switch (sink.sinkClass) {
    case 'idempotent':
      return {
        guarantee: 'exactly once',
        why: 'written from the committed record, again under the same keys after a crash',
      };
    case 'transactional':
      return { guarantee: 'exactly once', why: 'rows and progress are written in one transaction' };
    case 'staged':
      return sink.guarantee === 'exactly once'
        ? { guarantee: 'exactly once', why: 'staged before the commit, published after it, both repeatable' }
        : { guarantee: sink.guarantee, why: `the ${sink.kind} sink says so of itself` };
    case 'outbox':
      return { guarantee: 'exactly once', why: 'the rows are part of the record that commits their batch' };
  }
}

function sourcesOf(stream: StreamNode<unknown>): readonly SourceNode<unknown>[] {
  const seen = new Set<StreamNode<unknown>>();
  const visit = (node: StreamNode<unknown>): void => {
    if (seen.has(node)) return;
    seen.add(node);
    for (const parent of node.parents) visit(parent);
  };
  visit(stream);
  return [...seen]
    .filter((node): node is SourceNode<unknown> => node instanceof SourceNode)
    .sort((a, b) => a.id - b.id);
}
