import { TidemarkError } from '../../base/errors.ts';

/** A line longer than this is taken for something else than text. */
export const lineCharactersMax: number = 16 * 1024 * 1024;

/**
 * UTF-8 text as lines, however it was cut into chunks: `\n`, `\r\n` and `\r` end a line, as does the end of the text.
 * Bytes that are no UTF-8 become U+FFFD; a byte order mark at the beginning is left out.
 *
 * @throws LIMIT_EXCEEDED
 */
export class LineSplitter {
  readonly #decoder = new TextDecoder('utf-8');
  #rest = '';
  /** The last chunk ended with `\r`, whose line is out already: a `\n` that follows belongs to it. */
  #afterReturn = false;

  /** Lines that end in this chunk. */
  push(chunk: Uint8Array): string[] {
    return this.#split(this.#decoder.decode(chunk, { stream: true }));
  }

  /** The last line, if it had no end. */
  end(): string[] {
    const lines = this.#split(this.#decoder.decode());
    if (this.#rest !== '') lines.push(this.#rest);
    this.#rest = '';
    return lines;
  }

  #split(decoded: string): string[] {
    let text = decoded;
    if (this.#afterReturn && text !== '') {
      if (text[0] === '\n') text = text.slice(1);
      this.#afterReturn = false;
    }
    if (text.endsWith('\r')) this.#afterReturn = true;
    // Most texts know one end of a line only, and a search for one character is several times as fast.
    const lines = text.includes('\r') ? text.split(/\r\n|\n|\r/) : text.split('\n');
    lines[0] = this.#rest + lines[0];
    this.#rest = lines.pop()!;
    if (this.#rest.length > lineCharactersMax) {
      throw new TidemarkError('LIMIT_EXCEEDED', `A line of text has more than ${lineCharactersMax} characters.`);
    }
    return lines;
  }
}

export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncIterable<string> {
  const splitter = new LineSplitter();
  for await (const chunk of chunks) yield* splitter.push(chunk);
  yield* splitter.end();
}
