/**
 * Which files of a folder are left out of its package: our own short list, then the lines of `.lambdaignore`, written
 * like a `.gitignore`: `#` comments, `!` takes back, `/` at the start ties to the folder, `/` at the end means folders
 * only, `*` and `?` stay within a name, `**` crosses folders, `[a-z]` is a set. The last line that matches decides.
 *
 * `.gitignore` itself is not read: what is deployed (a build's output, dependencies) is often what git must not keep.
 */
export interface IgnoreRules {
  /** `path` has `/` between names and none at its ends. */
  isIgnored(path: string, isFolder: boolean): boolean;
}

export const IGNORE_FILE = ".lambdaignore";

const ALWAYS = [
  ".git",
  ".hg",
  ".svn",
  ".DS_Store",
  `/${IGNORE_FILE}`,
  "node_modules/.cache/",
  "__pycache__/",
  "npm-debug.log*",
];

export function parseIgnoreRules(text: string): IgnoreRules {
  const rules = [...ALWAYS, ...text.split(/\r?\n/)].flatMap(parseLine);
  return {
    isIgnored(path, isFolder) {
      let ignored = false;
      for (const rule of rules) {
        if ((isFolder || !rule.foldersOnly) && rule.pattern.test(path)) ignored = !rule.takesBack;
      }
      return ignored;
    },
  };
}

interface Rule {
  readonly pattern: RegExp;
  readonly foldersOnly: boolean;
  readonly takesBack: boolean;
}

function parseLine(line: string): Rule[] {
  let glob = line.replace(/(?<!\\)\s+$/, "");
  if (glob === "" || glob.startsWith("#")) return [];
  const takesBack = glob.startsWith("!");
  if (takesBack) glob = glob.slice(1);
  const foldersOnly = glob.endsWith("/");
  if (foldersOnly) glob = glob.slice(0, -1);
  // A slash inside ties the pattern to the folder; a name alone matches at any depth.
  const isTied = glob.includes("/");
  if (glob.startsWith("/")) glob = glob.slice(1);
  if (glob === "") return [];
  return [
    { pattern: new RegExp(`^${isTied ? "" : "(?:.*/)?"}${toRegExp(glob)}$`, "s"), foldersOnly, takesBack },
  ];
}

function toRegExp(glob: string): string {
  let source = "";
  for (let at = 0; at < glob.length; at += 1) {
    const rest = glob.slice(at);
    const set = /^\[(!?)((?:\\.|[^\]\\])+)\]/.exec(rest);
    if (rest.startsWith("**/")) {
      source += "(?:.*/)?";
      at += 2;
    } else if (rest.startsWith("**")) {
      source += ".*";
      at += 1;
    } else if (rest.startsWith("*")) source += "[^/]*";
    else if (rest.startsWith("?")) source += "[^/]";
    else if (set?.[2] !== undefined) {
      source += `[${set[1] ? "^/" : ""}${set[2].replace(/[\\[^]/g, "\\$&")}]`;
      at += set[0].length - 1;
    } else {
      if (rest.startsWith("\\") && rest.length > 1) at += 1;
      source += (glob[at] ?? "").replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
    }
  }
  return source;
}
