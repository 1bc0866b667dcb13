/**
 * Compiles a stage factory anew from its source, so that the copy has type feedback of its own.
 *
 * V8 keeps call-site statistics per source position: an operator function shared by many pipelines turns megamorphic and
 * nothing inlines any more (measured: 2-3 times slower in a process with several pipelines). One copy per operator of a
 * graph, made when the graph is built, keeps every pipeline as fast as if it were alone.
 *
 * Gives back the shared function itself when `enabled` is false, when the platform forbids making code from text, or when
 * the source names something outside itself (a bundler or a coverage tool may have changed it).
 */
export function ownCopy<F extends (...args: never[]) => unknown>(factory: F, enabled = true): F {
  if (!enabled) return factory;
  const source = factory.toString();
  if (!isSelfContained(source)) return factory;
  try {
    copies += 1;
    return new Function(`"use strict"; return (${source}); // ${copies}`)() as F;
  } catch {
    // EvalError (--disallow-code-generation-from-strings) or a source that is no expression (a method).
    return factory;
  }
}

// Text that was compiled before gets the code compiled before, statistics and all (V8's cache for eval): every text is new.
let copies = 0;

const knownWords = new Set(
  (
    'break case catch class const constructor continue default delete do else extends false finally for function if in ' +
    'instanceof let new null of return super switch this throw true try typeof undefined var void while yield ' +
    'Array Map Math NaN Number Object Set String'
  ).split(' '),
);

/** Errs on the safe side: a source it cannot follow counts as not self-contained. */
function isSelfContained(source: string): boolean {
  const code = source
    .replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, ' ')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, '""');
  if (code.includes('`')) return false;
  const declared = new Set(knownWords);
  for (const [, name] of code.matchAll(/\b(?:const|let|var|function|class)\s+([\w$]+)/g)) declared.add(name!);
  for (const [, name] of code.matchAll(/([\w$]+)\s*=>/g)) declared.add(name!);
  // Parameter lists stand before an arrow or a body, but so do conditions.
  for (const [, list] of code.matchAll(/(?<!\b(?:if|while|switch)\s*)\(([\w$\s,]*)\)\s*(?:=>|\{)/g)) {
    for (const name of list!.split(',')) declared.add(name.trim());
  }
  for (const match of code.matchAll(/(?<![\w$.])[A-Za-z_$][\w$]*/g)) {
    if (!declared.has(match[0])) return false;
  }
  return true;
}
