import { posix } from 'node:path';

export interface RepositoryFile {
  /** Relative to the root, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** What must not stand in a tracked file. The reason is part of the message. */
interface ForbiddenText {
  readonly pattern: RegExp;
  readonly reason: string;
  readonly applies: (path: string) => boolean;
  /** Matches that are fine. */
  readonly allowed?: (match: string) => boolean;
}

const sourceLinesMax = 400;
const leftBehind = /\.(?:log|cpuprofile|heapprofile|heapsnapshot|tmp|orig|rej)$/;
// Public by definition: Azurite's documented account key and the placeholder in the official Event Hubs emulator's connection string.
const publicKeys = [
  'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==',
  'SAS_KEY_VALUE',
];

const everywhere = (): boolean => true;
const inCode = (path: string): boolean => /^(?:src|test)\/.*\.ts$/.test(path);

const forbidden: readonly ForbiddenText[] = [
  {
    pattern:
      /"resolved":\s*"https?:[^"]*"|https?:\/\/[\w.-]*(?:registry|artifactory|nexus|verdaccio|npmmirror)[\w.-]*\.[^\s"'`)]*/g,
    reason: 'a download address belongs to one machine; the lock file is kept without them (.npmrc)',
    applies: everywhere,
  },
  {
    pattern: /(?<![\w.*-])\/(?:home|Users|root|work)\/[\w.-]+|\b[A-Z]:\\Users\\\w+/g,
    reason: 'a path of one machine',
    applies: everywhere,
  },
  {
    pattern: /(?:AccountKey|SharedAccessKey)=([\w+/-]{20,}={0,2})/g,
    reason: 'looks like a secret',
    applies: everywhere,
    allowed: (match) => publicKeys.some((key) => match.endsWith(`=${key}`)),
  },
  {
    pattern:
      /-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:ghp|gho|npm|glpat)_\w{30,}|\bAKIA[0-9A-Z]{16}\b|[?&]sig=[\w%+/]{40,}|\beyJ[\w-]{20,}\.[\w-]{20,}\.[\w-]{20,}/g,
    reason: 'looks like a secret',
    applies: everywhere,
  },
  {
    pattern: /\b(?:describe|it|test|suite)(?:\.\w+)*\.(?:only|skip|skipIf|runIf|todo|fails)\b/g,
    reason: 'every test runs, always: a test that is left out is not noticed',
    applies: inCode,
  },
  {
    pattern: /\b(?:TODO|FIXME|XXX)\b/g,
    reason: 'do it, or write it down in an issue',
    applies: inCode,
  },
];

/** One sentence per finding; empty when all is well. `exists` answers for paths that links point to. */
export function checkRepository(files: readonly RepositoryFile[], exists: (path: string) => boolean): string[] {
  const problems: string[] = [];
  for (const file of files) {
    if (leftBehind.test(file.path)) {
      problems.push(`${file.path}: left behind by a profiler or a crash; delete it, or have it ignored`);
    }
    problems.push(...findForbidden(file));
    if (file.path.startsWith('src/') && file.path.endsWith('.ts')) {
      const lines = file.text.split('\n').length - (file.text.endsWith('\n') ? 1 : 0);
      if (lines > sourceLinesMax)
        problems.push(`${file.path}: ${lines} lines, at most ${sourceLinesMax}: one idea per file`);
    }
  }
  const documents = new Map(files.filter(({ path }) => path.endsWith('.md')).map((file) => [file.path, file.text]));
  for (const [path, text] of documents) problems.push(...checkLinks(path, text, documents, exists));
  return problems;
}

function findForbidden(file: RepositoryFile): string[] {
  const problems: string[] = [];
  for (const { pattern, reason, applies, allowed } of forbidden) {
    if (!applies(file.path)) continue;
    for (const match of file.text.matchAll(pattern)) {
      if (allowed?.(match[0])) continue;
      const line = file.text.slice(0, match.index).split('\n').length;
      problems.push(`${file.path}:${line}: "${shorten(match[0])}": ${reason}`);
    }
  }
  return problems;
}

function checkLinks(
  path: string,
  text: string,
  documents: ReadonlyMap<string, string>,
  exists: (path: string) => boolean,
): string[] {
  const problems: string[] = [];
  const prose = withoutCode(text);
  for (const match of prose.matchAll(/\[[^\]]*\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)) {
    const link = match[1] ?? '';
    if (/^[a-z][a-z+.-]*:/i.test(link)) continue;
    const line = prose.slice(0, match.index).split('\n').length;
    const [target = '', anchor] = link.split('#');
    const file = target === '' ? path : posix.join(posix.dirname(path), decodeURIComponent(target));
    if (!exists(file)) {
      problems.push(`${path}:${line}: link to ${link}: there is no ${file}`);
      continue;
    }
    const document = documents.get(file);
    if (anchor !== undefined && document !== undefined && !anchorsOf(document).has(anchor)) {
      problems.push(`${path}:${line}: link to ${link}: ${file} has no heading of that name`);
    }
  }
  return problems;
}

/** Same length and lines, code blanked: what stands in code is not a link and not a heading. */
function withoutCode(text: string): string {
  return text.replace(/^(```|~~~)[\s\S]*?^\1|`[^`\n]*`/gm, (code) => code.replace(/[^\n]/g, ' '));
}

/** As GitHub builds them: lower case, punctuation dropped, spaces to hyphens, -1, -2 for repeated ones. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  const fenced = text.replace(/^(```|~~~)[\s\S]*?^\1/gm, '');
  for (const match of fenced.matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const base = (match[1] ?? '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-');
    let anchor = base;
    for (let repeat = 1; anchors.has(anchor); repeat++) anchor = `${base}-${repeat}`;
    anchors.add(anchor);
  }
  return anchors;
}

function shorten(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 24)}...`;
}
