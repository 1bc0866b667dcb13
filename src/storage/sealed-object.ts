import { createCipheriv, createDecipheriv, createHmac, type KeyObject } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { TidemarkError } from '../base/errors.ts';
import { type EncryptionKey, type EncryptionKeys, isKeyId, keyCheckBytes, keyIdBytesMax } from './encryption-keys.ts';

/**
 * Objects under AES-256-GCM, in blocks that can be read alone: each has a head of its own, so that a range is one read.
 * Byte table: docs/formats/checkpoint.md.
 *
 * Invariants
 *   S1. A key and a nonce never meet twice with different content: every object has a key of its own, derived with a
 *       salt that is a MAC of its name, commit id and content; the nonce is the number of the block and the last flag.
 *   S2. The same content, name and commit id give the same bytes: what is sent again is what was sent before.
 *   S3. A block is accepted only as the block of that number of the object of that name. The last one says that it is the
 *       last, so an object can't be cut, extended, reordered or moved to another name.
 */
export const blockBytes = 64 * 1024;
const magic = Buffer.from('TIDESEAL', 'latin1');
const sealVersion = 1;
const lastFlag = 1;
const saltAt = 56;
/** Enough to tell the key: see sealedKeyId. */
export const headBytes = 88;
const tagBytes = 16;
const overheadBytes = headBytes + tagBytes;
export const sealedBlockBytes: number = blockBytes + overheadBytes;
const algorithm = 'aes-256-gcm';
// A few milliseconds of work: what else runs in this process must not wait for a large object.
const bytesPerTurn = 1024 * 1024;

/** Size of the content of a sealed object of so many bytes. */
export function contentBytes(sealedBytes: number): number {
  return Math.max(0, sealedBytes - Math.ceil(sealedBytes / sealedBlockBytes) * overheadBytes);
}

export async function sealObject(
  key: EncryptionKey,
  name: string,
  commitId: string,
  content: Uint8Array,
): Promise<Uint8Array> {
  const salt = await saltOf(key, name, commitId, content);
  const objectKey = key.objectKey(salt);
  const blocks = Math.max(1, Math.ceil(content.length / blockBytes));
  const sealed = Buffer.allocUnsafe(content.length + blocks * overheadBytes);
  const associated = associatedDataOf(name);
  for (let index = 0, at = 0; index < blocks; index++) {
    const plain = content.subarray(index * blockBytes, (index + 1) * blockBytes);
    const isLast = index === blocks - 1;
    const head = sealed.subarray(at, at + headBytes);
    head.fill(0);
    magic.copy(head, 0);
    head[8] = sealVersion;
    head[9] = isLast ? lastFlag : 0;
    head[10] = head.write(key.id, 24, 'latin1');
    head.writeUInt32LE(index, 12);
    head.set(key.check, 16);
    head.set(salt, saltAt);
    const cipher = createCipheriv(algorithm, objectKey, nonceOf(index, isLast), { authTagLength: tagBytes });
    cipher.setAAD(associated(head));
    sealed.set(cipher.update(plain), at + headBytes);
    cipher.final();
    at += headBytes + plain.length;
    sealed.set(cipher.getAuthTag(), at);
    at += tagBytes;
    if (isTurnOver(index)) await setImmediate();
  }
  return sealed;
}

interface OpenedBlocks {
  readonly content: Uint8Array;
  /** The last of these blocks is the last of its object. */
  readonly isEnd: boolean;
}

/**
 * The content of consecutive blocks.
 * @param firstIndex number of the first one.
 * @throws CHECKPOINT_CORRUPT, ENCRYPTION_KEY_MISSING, NOT_ENCRYPTED
 */
export async function openBlocks(
  keys: EncryptionKeys,
  name: string,
  firstIndex: number,
  sealed: Uint8Array,
): Promise<OpenedBlocks> {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  const restBytes = bytes.length % sealedBlockBytes;
  if (bytes.length > sealedBlockBytes && restBytes > 0 && restBytes < overheadBytes) {
    throw damaged(name, `it was cut in block ${firstIndex + Math.floor(bytes.length / sealedBlockBytes)}`);
  }
  const content = new Uint8Array(contentBytes(bytes.length));
  const associated = associatedDataOf(name);
  let first: Buffer | undefined;
  let objectKey: KeyObject | undefined;
  let isEnd = false;
  for (let at = 0, to = 0, i = 0; at < bytes.length; at += sealedBlockBytes, i++) {
    const block = bytes.subarray(at, at + sealedBlockBytes);
    const index = firstIndex + i;
    const head = checkedHead(name, index, block);
    isEnd = (head[9]! & lastFlag) !== 0;
    const isFinalHere = at + sealedBlockBytes >= bytes.length;
    if (isEnd && !isFinalHere) throw damaged(name, `there are bytes after its last block, which is block ${index}`);
    if (!isEnd && block.length < sealedBlockBytes) throw damaged(name, `it was cut in block ${index}`);
    first ??= head;
    objectKey ??= keyOf(keys, name, head).objectKey(head.subarray(saltAt));
    if (!head.subarray(16).equals(first.subarray(16))) {
      throw damaged(name, `block ${index} is of another version of it than block ${firstIndex}`);
    }
    const decipher = createDecipheriv(algorithm, objectKey, nonceOf(index, isEnd), { authTagLength: tagBytes });
    decipher.setAAD(associated(head));
    decipher.setAuthTag(block.subarray(block.length - tagBytes));
    const plain = decipher.update(block.subarray(headBytes, block.length - tagBytes));
    try {
      decipher.final();
    } catch {
      throw damaged(name, `block ${index} was changed, or belongs to another object`);
    }
    content.set(plain, to);
    to += plain.length;
    if (isTurnOver(i)) await setImmediate();
  }
  return { content, isEnd };
}

/** Id of the key an object was sealed with, as its first bytes say; undefined: they are not of a sealed object. */
export function sealedKeyId(bytes: Uint8Array): string | undefined {
  if (bytes.length < headBytes || Buffer.compare(bytes.subarray(0, magic.length), magic) !== 0) return undefined;
  const size = Math.min(bytes[10]!, keyIdBytesMax);
  const id = Buffer.from(bytes.subarray(24, 24 + size)).toString('latin1');
  return isKeyId(id) ? id : undefined;
}

export function keyMissing(name: string, id: string, given: string): TidemarkError {
  return new TidemarkError(
    'ENCRYPTION_KEY_MISSING',
    `Checkpoint object "${name}" is encrypted with the key "${id}", and ${given}. Give this key in the option encryption: { current, keys: { '${id}': ... } }, on the command line with --key-file.`,
    { context: { object: name, keyId: id } },
  );
}

/** The head of a block, with what can be told without a key. */
function checkedHead(name: string, index: number, block: Buffer): Buffer {
  if (!block.subarray(0, magic.length).equals(magic)) {
    if (index > 0) throw damaged(name, `block ${index} does not start with the magic of a sealed block`);
    throw new TidemarkError(
      'NOT_ENCRYPTED',
      `Checkpoint object "${name}" is not encrypted, and keys were given. If the stream was written without encryption, open it without keys, or export it to a new place with keys and go on there (tidemark checkpoint export --target-key-file). If the other objects are encrypted, this one was damaged or replaced: restore it.`,
      { context: { object: name } },
    );
  }
  if (block.length < overheadBytes) throw damaged(name, `it was cut in block ${index}`);
  if (block[8] !== sealVersion) {
    throw new TidemarkError(
      'CHECKPOINT_INCOMPATIBLE',
      `Checkpoint object "${name}" has version ${block[8]} of the encryption, this program knows version ${sealVersion}. Run the version of Tidemark that wrote it, or a newer one.`,
      { context: { object: name } },
    );
  }
  const there = block.readUInt32LE(12);
  if (there !== index) throw damaged(name, `block ${there} stands where block ${index} belongs`);
  return block.subarray(0, headBytes);
}

function keyOf(keys: EncryptionKeys, name: string, head: Buffer): EncryptionKey {
  const id = sealedKeyId(head);
  if (id === undefined) throw damaged(name, 'the id of its key cannot be read');
  const key = keys.find(id);
  if (key === undefined) throw keyMissing(name, id, `the keys given are ${keys.describe()}`);
  if (!head.subarray(16, 16 + keyCheckBytes).equals(key.check)) {
    throw keyMissing(name, id, 'the key given under this id is another one');
  }
  return key;
}

/** S1, S2. */
async function saltOf(key: EncryptionKey, name: string, commitId: string, content: Uint8Array): Promise<Uint8Array> {
  // The commit id has a fixed length and a name no line end, so no two inputs look alike.
  const mac = createHmac('sha256', key.saltKey).update(`${commitId}\n${name}\n`);
  for (let at = 0; at < content.length; at += bytesPerTurn) {
    if (at > 0) await setImmediate();
    mac.update(content.subarray(at, at + bytesPerTurn));
  }
  return mac.digest();
}

function associatedDataOf(name: string): (head: Uint8Array) => Uint8Array {
  const text = Buffer.from(name, 'utf8');
  const data = Buffer.allocUnsafe(headBytes + text.length);
  text.copy(data, headBytes);
  return (head) => {
    data.set(head, 0);
    return data;
  };
}

function nonceOf(index: number, isLast: boolean): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(index, 0);
  nonce[4] = isLast ? 1 : 0;
  return nonce;
}

function isTurnOver(index: number): boolean {
  return (index + 1) % (bytesPerTurn / blockBytes) === 0;
}

export function damaged(name: string, what: string): TidemarkError {
  return new TidemarkError(
    'CHECKPOINT_CORRUPT',
    `Checkpoint object "${name}": ${what}. Restore this object from soft delete, a version or a copy of the checkpoint, then start again. Nothing was deleted or overwritten.`,
    { context: { object: name, problem: what } },
  );
}
