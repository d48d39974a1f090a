/**
 * What a module of user code offers, found by reading it, never by running it. This knows the forms that people and
 * compilers write; what it misses (`export *`, names made at run time) the user can say with `--handler`.
 */
export interface SourceFacts {
  readonly exports: ReadonlySet<string>;
  /** Calls `.listen(`, as servers do. */
  readonly listens: boolean;
  /** Uses `require`, `module.exports` or `__dirname`, which ES modules lack, and not `import.meta`, which only they have. */
  readonly isCommonJs: boolean;
}

export function readJavaScript(source: string): SourceFacts {
  const code = blankText(source);
  const names = new Set<string>();
  for (const [, name] of code.matchAll(DECLARED)) addName(names, name);
  for (const [, list] of code.matchAll(EXPORT_LIST)) {
    for (const part of (list ?? "").split(",")) addName(names, exportedAs(part));
  }
  for (const [, list] of code.matchAll(DESTRUCTURED)) {
    for (const part of (list ?? "").split(",")) addName(names, part.split(/[:=]/).at(-1)?.trim());
  }
  for (const [, name] of code.matchAll(ASSIGNED)) addName(names, name);
  for (const match of [...code.matchAll(ASSIGNED_WHOLE)].slice(-ASSIGNED_WHOLE_MAX)) {
    const start = match.index + match[0].length;
    for (const name of keysOf(code.slice(start, start + OBJECT_LENGTH_MAX))) names.add(name);
  }
  return {
    exports: names,
    listens: /\.\s*listen\s*\(/.test(code),
    isCommonJs: COMMON_JS.test(code) && !/\bimport\s*\.\s*meta\b/.test(code),
  };
}

/** Names that a Python module defines at its top level and that may be called. */
export function readPython(source: string): ReadonlySet<string> {
  const code = source.replace(/("""|''')[\s\S]*?\1/g, '""').replace(/#.*$/gm, "");
  const names = new Set<string>();
  for (const [, name] of code.matchAll(/^(?:async\s+)?def\s+([A-Za-z_]\w*)\s*\(/gm)) addName(names, name);
  for (const [, name] of code.matchAll(/^([A-Za-z_]\w*)\s*(?::[^=\n]+)?=(?!=)/gm)) addName(names, name);
  for (const [, list] of code.matchAll(/^from\s+\S+\s+import\s+\(?([^)\n]*)/gm)) {
    for (const part of (list ?? "").split(","))
      addName(
        names,
        part
          .trim()
          .split(/\s+as\s+/)
          .at(-1),
      );
  }
  return names;
}

/** Methods that a Ruby file defines outside of any class: nothing is indented before `def`, as tools and people write it. */
export function readRuby(source: string): ReadonlySet<string> {
  const code = source.replace(/^=begin\b[\s\S]*?^=end\b.*$/gm, "").replace(/^__END__$[\s\S]*/m, "");
  return new Set([...code.matchAll(/^def\s+(?:self\.)?([A-Za-z_]\w*)/gm)].map(([, name = ""]) => name));
}

/** `export const handler`, `export async function* handler`, `export default`; not `export type`. */
const DECLARED =
  /\bexport\s+(?:declare\s+)?(?:(?:const|let|var|class)\s+|(?:default\s+)?(?:async\s+)?function(?:\s*\*\s*|\s+))([\w$]+)/g;
/** `export { a, b as handler }`, also with `from`; not `export type { A }`. */
const EXPORT_LIST = /\bexport\s*\{([^{}]*)\}/g;
/** `export const { handler, run: other } = make()`. */
const DESTRUCTURED = /\bexport\s+(?:const|let|var)\s*\{([^{}]*)\}\s*=/g;
/** `exports.handler =`, `module.exports.handler =`. */
const ASSIGNED = /\b(?:module\s*\.\s*)?exports\s*\.\s*([\w$]+)\s*=(?!=)/g;
/** Of those, the last ones are looked into, each up to a length: code from outside must not cost more than reading it. */
const ASSIGNED_WHOLE_MAX = 10;
const OBJECT_LENGTH_MAX = 64 * 1024;
/** `module.exports = {`; esbuild leaves one behind for just this purpose: `0 && (module.exports = { handler })`. */
const ASSIGNED_WHOLE = /\bmodule\s*\.\s*exports\s*=\s*\{/g;

const COMMON_JS = /\b(?:require\s*\(|module\s*\.\s*exports\b|exports\s*\.|__dirname\b|__filename\b)/;

function addName(names: Set<string>, name: string | undefined): void {
  if (name) names.add(name);
}

/** `a` and `a as b`, without types. */
function exportedAs(part: string): string | undefined {
  const words = part.trim().split(/\s+/);
  if (words[0] === "type") return undefined;
  return words[1] === "as" ? words[2] : words[0];
}

/** The keys of an object literal that has been opened just before `code`. */
function keysOf(code: string): readonly string[] {
  const keys: string[] = [];
  let depth = 0;
  let part = "";
  for (const letter of code) {
    if (depth === 0 && (letter === "," || letter === "}")) {
      const key = part.match(/^\s*(?:async\s+)?\*?\s*(?:get\s+)?([\w$]+)\s*(?:[:,(]|$)/)?.[1];
      if (key) keys.push(key);
      part = "";
      if (letter === "}") return keys;
      continue;
    }
    if ("{[(".includes(letter)) depth += 1;
    if ("}])".includes(letter)) depth -= 1;
    part += letter;
  }
  return keys;
}

/**
 * The source without what comments and strings say, so that `// exports.handler =` is not taken for one. A slash
 * begins a regular expression where a value is expected; that and JSX are guessed, which at worst blanks one line.
 */
function blankText(source: string): string {
  const parts: string[] = [];
  /** The end of what was kept, to tell a division from a regular expression. */
  let tail = "";
  const keep = (part: string) => {
    parts.push(part);
    tail = (tail + part.slice(-TAIL_LENGTH)).slice(-TAIL_LENGTH);
  };
  /** Depth of braces at which each template literal goes on. */
  const templates: number[] = [];
  let braces = 0;
  let at = source.startsWith("#!") ? endOfLine(source, 0) : 0;
  while (at < source.length) {
    PLAIN.lastIndex = at;
    const plain = PLAIN.exec(source)?.[0] ?? "";
    if (plain !== "") keep(plain);
    at += plain.length;
    const letter = source[at] ?? "";
    const pair = source.slice(at, at + 2);
    if (pair === "//") {
      at = endOfLine(source, at);
    } else if (pair === "/*") {
      const end = source.indexOf("*/", at + 2);
      at = end === -1 ? source.length : end + 2;
      keep(" ");
    } else if (letter === '"' || letter === "'") {
      at = endOfString(source, at, letter);
      keep('""');
    } else if (letter === "`" || (letter === "}" && templates.at(-1) === braces)) {
      if (letter === "}") templates.pop();
      const { end, isOpen } = endOfTemplate(source, at + 1);
      if (isOpen) templates.push(braces);
      at = end;
      keep('""');
    } else if (letter === "/" && BEFORE_EXPRESSION.test(tail)) {
      at = endOfString(source, at, "/");
      keep('""');
    } else {
      if (letter === "{") braces += 1;
      if (letter === "}") braces -= 1;
      keep(letter);
      at += 1;
    }
  }
  return parts.join("");
}

const PLAIN = /[^"'`/{}]+/y;
const TAIL_LENGTH = 12;
const BEFORE_EXPRESSION = /(?:^|[=(,:[!&|?{};\n]|\breturn)\s*$/;

function endOfLine(source: string, at: number): number {
  const end = source.indexOf("\n", at);
  return end === -1 ? source.length : end;
}

/** Behind the closing quote or slash, or at the end of the line. */
function endOfString(source: string, at: number, quote: string): number {
  let inClass = false;
  for (let next = at + 1; next < source.length; next += 1) {
    const letter = source[next];
    if (letter === "\\") next += 1;
    else if (letter === "\n") return next;
    else if (quote === "/" && letter === "[") inClass = true;
    else if (quote === "/" && letter === "]") inClass = false;
    else if (letter === quote && !inClass) return next + 1;
  }
  return source.length;
}

/** Behind the closing backtick, or behind the `${` that opens code. */
function endOfTemplate(source: string, at: number): { readonly end: number; readonly isOpen: boolean } {
  for (let next = at; next < source.length; next += 1) {
    if (source[next] === "\\") next += 1;
    else if (source[next] === "`") return { end: next + 1, isOpen: false };
    else if (source[next] === "$" && source[next + 1] === "{") return { end: next + 2, isOpen: true };
  }
  return { end: source.length, isOpen: false };
}
