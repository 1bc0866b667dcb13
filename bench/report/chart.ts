import { formatFigure } from '../closing-table.ts';

/** One comparison: a bar of ours, one of the peer's. Bars of a group share a scale, groups don't. */
export interface BarGroup {
  readonly label: string;
  readonly against: string;
  readonly unit: string;
  readonly ours: number;
  readonly peer: number;
  readonly ratio: number;
}

const width = 860;
const left = 16;
const barMax = 540;
const barHeight = 13;
const groupHeight = 64;
const lineCharsMax = 118;
const headHeight = 78;

/** Colours that keep their contrast: the panel is ours, so it doesn't matter what the page behind it looks like. */
const style = `
  .panel { fill: #ffffff; stroke: #d0d7de; }
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .quiet { fill: #59636e; }
  .ours { fill: #0a6ebd; }
  .peer { fill: #a3acb6; }
  @media (prefers-color-scheme: dark) {
    .panel { fill: #0d1117; stroke: #3d444d; }
    text { fill: #f0f6fc; }
    .quiet { fill: #9198a1; }
    .ours { fill: #4aa8ff; }
    .peer { fill: #656c76; }
  }`;

/** A chart of pairs of bars, as SVG text. */
export function barChart(title: string, hint: string, groups: readonly BarGroup[]): string {
  const height = headHeight + groups.length * groupHeight + 8;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${escaped(title)}</title>
<style>${style}
</style>
<rect class="panel" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6"/>
<text class="title" x="16" y="28">${escaped(title)}</text>
<text class="quiet" x="16" y="46">${escaped(hint)}</text>
<rect class="ours" x="16" y="56" width="12" height="12"/><text x="34" y="66">Tidemark</text>
<rect class="peer" x="110" y="56" width="12" height="12"/><text x="128" y="66">beside it</text>
${groups.map((group, i) => drawGroup(group, headHeight + i * groupHeight)).join('\n')}
</svg>
`;
}

function drawGroup({ label, against, unit, ours, peer, ratio }: BarGroup, top: number): string {
  const most = Math.max(ours, peer);
  const bar = (of: string, value: number, y: number, more: string): string => {
    const length = Math.max(2, Math.round((value / most) * barMax));
    const text = `${formatFigure(value)} ${unit}${more}`;
    return `<rect class="${of}" x="${left}" y="${y}" width="${length}" height="${barHeight}"/><text x="${left + length + 6}" y="${y + 11}">${escaped(text)}</text>`;
  };
  // What it is beside is cut first: the page has it in full.
  const beside = `beside ${against}`.slice(0, Math.max(0, lineCharsMax - label.length));
  return [
    `<text x="${left}" y="${top + 16}">${escaped(label)}<tspan class="quiet" dx="8">${escaped(beside)}</tspan></text>`,
    bar('ours', ours, top + 23, ` (${formatFigure(ratio)}x)`),
    bar('peer', peer, top + 38, ''),
  ].join('\n');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
