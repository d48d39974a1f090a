/**
 * Docker's rules for what a build does not see: a pattern per line, the last one that matches decides, `!` takes back.
 * Patterns are paths from the folder itself, with `*`, `?`, `[a-z]` within a name and `**` across folders; what matches a
 * folder matches all in it.
 * https://docs.docker.com/build/concepts/context/#dockerignore-files
 */
export function parseDockerIgnore(text: string): { isIgnored(path: string): boolean } {
  const rules = text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .filter((line) => !line.startsWith("#"))
    .map((line) => line.trim())
    .filter((line) => line !== "" && line !== "!")
    .map((line) => {
      const takesBack = line.startsWith("!");
      return { takesBack, pattern: expressionOf(cleaned(takesBack ? line.slice(1).trim() : line)) };
    });
  return {
    isIgnored: (path) => {
      let isIgnored = false;
      for (const { takesBack, pattern } of rules) {
        if (isIgnored === takesBack && pattern.test(path)) isIgnored = !takesBack;
      }
      return isIgnored;
    },
  };
}

/** As Go's filepath.Clean, without the slash that begins it. */
function cleaned(pattern: string): string {
  const parts: string[] = [];
  for (const part of pattern.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts.join("/");
}

function expressionOf(pattern: string): RegExp {
  let source = "";
  for (let at = 0; at < pattern.length; at += 1) {
    const letter = pattern.charAt(at);
    if (letter === "*" && pattern.charAt(at + 1) === "*") {
      at += 1;
      if (pattern.charAt(at + 1) === "/") at += 1;
      source += at + 1 >= pattern.length ? ".*" : "(?:.*/)?";
    } else if (letter === "*") source += "[^/]*";
    else if (letter === "?") source += "[^/]";
    else if (letter === "\\") {
      at += 1;
      source += escaped(pattern.charAt(at));
    } else if (letter === "[") {
      const end = pattern.indexOf("]", at + 1);
      if (end === -1) source += "\\[";
      else {
        source += `[${pattern.slice(at + 1, end).replace(/\\/g, "\\\\")}]`;
        at = end;
      }
    } else source += escaped(letter);
  }
  try {
    return new RegExp(`^${source}(?:/|$)`);
  } catch {
    // Docker refuses the build for it; here it matches nothing.
    return /^(?!)/;
  }
}

function escaped(letter: string): string {
  return letter.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}
