const vocabulary = 20_000;
const wordsPerLine = 10;

/** A line of text that follows from its number: word numbers from a linear congruential generator, squared towards zero. */
export function lineOf(number: number): string {
  let seed = (Math.imul(number, 747796405) + 2891336453) | 0;
  let text = '';
  for (let w = 0; w < wordsPerLine; w++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
    const share = (seed >>> 8) / 16777216;
    if (w > 0) text += ' ';
    text += `word${Math.floor(share * share * vocabulary)}`;
  }
  return text;
}
