import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32, sha256 } from '../../../src/base/checksum.ts';
import { decodeFrame, encodeFrame, type FrameHeader } from '../../../src/checkpoint/frame.ts';

const header: FrameHeader = {
  kind: 'batch',
  slot: 7,
  epoch: 3,
  driverId: '0123456789abcdef0123456789abcdef',
  commitId: 'f'.repeat(32),
  previousHash: 'ab'.repeat(32),
};

/** A frame with some header bytes changed and all checksums made right again, as another version would write it. */
function rewritten(change: (frame: Buffer) => void): Uint8Array {
  const frame = Buffer.from(encodeFrame(header, [{ tag: 1, critical: true, chunks: [Buffer.from('x')] }]).bytes);
  change(frame);
  frame.writeUInt32LE(crc32(frame.subarray(0, 108)), 108);
  Buffer.from(sha256(frame.subarray(0, frame.length - 32))).copy(frame, frame.length - 32);
  return frame;
}

describe('a frame', () => {
  it('comes back with its header and the sections the reader knows', () => {
    const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));
    const slot = fc.nat({ max: Number.MAX_SAFE_INTEGER });
    const sections = fc.uniqueArray(
      fc.record({
        tag: fc.nat({ max: 0xffff }),
        critical: fc.boolean(),
        chunks: fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 3 }),
      }),
      { maxLength: 5, selector: ({ tag }) => tag },
    );
    fc.assert(
      fc.property(slot, slot, hex(32), hex(64), sections, (slot, epoch, commitId, previousHash, sections) => {
        const written: FrameHeader = { ...header, slot, epoch, commitId, previousHash };
        const { bytes, hash } = encodeFrame(written, sections);
        const known = sections.filter(({ critical, tag }) => critical || tag % 2 === 0);
        const frame = decodeFrame('x', bytes, new Set(known.map(({ tag }) => tag)));
        expect(frame.header).toEqual(written);
        expect(frame.hash).toBe(hash);
        const content = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
        expect([...frame.sections].map(([tag, bytes]) => [tag, content(bytes)])).toEqual(
          known.map(({ tag, chunks }) => [tag, content(Buffer.concat(chunks))]),
        );
      }),
    );
  });

  it('with an unknown section is read, unless the section is critical', () => {
    const sections = [
      { tag: 1, critical: true, chunks: [Buffer.from('known')] },
      { tag: 99, critical: false, chunks: [Buffer.from('later')] },
    ];
    const read = decodeFrame('x', encodeFrame(header, sections).bytes, new Set([1]));
    expect([...read.sections.keys()]).toEqual([1]);
    const critical = encodeFrame(header, [sections[0]!, { ...sections[1]!, critical: true }]).bytes;
    expect(() => decodeFrame('x', critical, new Set([1]))).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_INCOMPATIBLE', message: expect.stringContaining('section 99') }),
    );
  });

  it('of a newer version is read if that version says it can be', () => {
    const newer = rewritten((frame) => frame.writeUInt16LE(2, 8));
    expect(decodeFrame('x', newer, new Set([1])).header.slot).toBe(7);
    const tooNew = rewritten((frame) => {
      frame.writeUInt16LE(3, 8);
      frame.writeUInt16LE(2, 10);
    });
    expect(() => decodeFrame('x', tooNew, new Set([1]))).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_INCOMPATIBLE', message: expect.stringContaining('version 3') }),
    );
  });

  it('of an unknown kind is incompatible, not damaged', () => {
    const unknown = rewritten((frame) => frame.writeUInt16LE(77, 12));
    expect(() => decodeFrame('x', unknown, new Set([1]))).toThrow(/unknown kind 77/);
  });
});
