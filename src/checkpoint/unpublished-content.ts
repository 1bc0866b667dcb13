import { TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Content } from './content.ts';
import { readFloor } from './root-objects.ts';
import { readParts } from './state-loader.ts';

/**
 * Content of a record that this driver still has to publish. `floor`: the one this driver knows.
 * @throws CHECKPOINT_CORRUPT; FENCED when another driver has cleaned up
 */
export async function readUnpublished(
  store: ObjectStore,
  content: Content,
  { streamId, epoch, floor }: { readonly streamId: string; readonly epoch: number; readonly floor: number },
): Promise<Uint8Array> {
  if (content.kind === 'inline') return content.bytes;
  try {
    return await readParts(store, content.parts);
  } catch (error) {
    // What is not published yet is not deleted below a floor of this driver's; only a newer one raises it further.
    const { value: raised } = await readFloor(store);
    if (raised <= floor) throw error;
    throw new TidemarkError(
      'FENCED',
      `A newer driver took over stream ${streamId} (${store.url}) and has cleaned up to record ${raised}; this driver has epoch ${epoch}. Leave this process stopped.`,
      { context: { streamId, floor: raised, epoch } },
    );
  }
}
