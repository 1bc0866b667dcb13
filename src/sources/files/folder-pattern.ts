/**
 * Folder names with `*`, `?`, `[abc]`, `[^abc]` and `{one,two}`, as Hadoop's globs: they choose folders, one segment at a
 * time, and never cross a slash.
 */
export interface FolderPattern {
  /** The beginning without any pattern, without a slash at its end; may be empty. */
  readonly root: string;
  /** What follows the root, segment by segment; empty when there is no pattern. */
  readonly segments: readonly RegExp[];
}

export function parseFolderPattern(path: string): FolderPattern {
  const parts = path.replace(/\/+$/, '').split('/');
  const first = parts.findIndex(isPattern);
  if (first === -1) return { root: parts.join('/'), segments: [] };
  return { root: parts.slice(0, first).join('/'), segments: parts.slice(first).map(segmentForm) };
}

function isPattern(segment: string): boolean {
  return /[*?[\]{}]/.test(segment);
}

function segmentForm(segment: string): RegExp {
  let form = '';
  let depth = 0;
  for (let i = 0; i < segment.length; i++) {
    const mark = segment[i]!;
    const setEnd = mark === '[' ? segment.indexOf(']', i + 2) : -1;
    if (setEnd !== -1) {
      const set = segment.slice(i + 1, setEnd);
      form += `[${set.replace(/^!/, '^').replaceAll('\\', '\\\\')}]`;
      i = setEnd;
    } else if (mark === '*') form += '[^/]*';
    else if (mark === '?') form += '[^/]';
    else if (mark === '{') {
      form += '(?:';
      depth += 1;
    } else if (mark === '}' && depth > 0) {
      form += ')';
      depth -= 1;
    } else if (mark === ',' && depth > 0) form += '|';
    else form += mark.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  }
  return new RegExp(`^${form}${')'.repeat(depth)}$`, 'u');
}
