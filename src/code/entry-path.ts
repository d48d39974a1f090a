import { PlatformError } from "../core/errors.ts";

export const PATH_BYTES_MAX = 1_024;
const PATH_DEPTH_MAX = 64;
const SEGMENT_BYTES_MAX = 255;

// Control, bidirectional and zero-width characters, which could make a terminal or a reader see another name.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\u0000-\u001f\u007f]/;

/** A name from outside as it may be shown: quoted, escaped, at most 200 characters of it. */
export function quoted(name: string): string {
  const shown = name.length > 200 ? `${name.slice(0, 200)}…` : name;
  return JSON.stringify(shown).replace(
    UNPRINTABLE,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** An archive that is refused: the rule that it breaks, then how to mend it. */
export function refusal(what: string, remedy: string, options?: ErrorOptions): PlatformError {
  return new PlatformError("InvalidArchive", `${what}; ${remedy}`, options);
}

/**
 * The path of an archive entry inside the tree, with `/` between its parts and none at either end; empty for the
 * tree itself (`./`).
 *
 * @throws PlatformError `InvalidArchive` for all that could lead outside, be read in two ways, or not be stored.
 */
export function parseEntryPath(name: string): string {
  const reason = findFault(name);
  if (reason) {
    throw refusal(`archive entry ${quoted(name)} ${reason.what}`, reason.remedy);
  }
  return trimmed(name);
}

interface Fault {
  readonly what: string;
  readonly remedy: string;
}

const PACK_INSIDE = "pack the folder from within, so that names are relative to it";
const RENAME = "rename it and pack again";

function findFault(name: string): Fault | undefined {
  if (name === "") return { what: "has no name", remedy: RENAME };
  if (name.includes("\0")) return { what: "has a NUL in its name", remedy: RENAME };
  if (CONTROL.test(name)) return { what: "has a control character in its name", remedy: RENAME };
  if (name.includes("\ufffd") || !name.isWellFormed())
    return { what: "has a name that is not valid UTF-8", remedy: RENAME };
  if (name.includes("\\"))
    return { what: "has a backslash in its name", remedy: "use a tool that writes / between folders" };
  if (name.startsWith("/")) return { what: "has an absolute path", remedy: PACK_INSIDE };
  if (/^[A-Za-z]:/.test(name)) return { what: "begins with a drive letter", remedy: PACK_INSIDE };
  if (Buffer.byteLength(name) > PATH_BYTES_MAX)
    return { what: `has a path longer than ${PATH_BYTES_MAX} bytes`, remedy: "shorten it" };
  const path = trimmed(name);
  return path === "" ? undefined : findSegmentFault(path.split("/"));
}

function findSegmentFault(segments: readonly string[]): Fault | undefined {
  if (segments.length > PATH_DEPTH_MAX)
    return { what: `lies deeper than ${PATH_DEPTH_MAX} folders`, remedy: "flatten the folders" };
  for (const segment of segments) {
    if (segment === "..") return { what: 'has ".." in its path', remedy: PACK_INSIDE };
    if (segment === "." || segment === "")
      return { what: "has an empty part in its path", remedy: PACK_INSIDE };
    if (Buffer.byteLength(segment) > SEGMENT_BYTES_MAX)
      return { what: `has a name longer than ${SEGMENT_BYTES_MAX} bytes`, remedy: "shorten it" };
  }
  return undefined;
}

/** `tar -C folder .` begins every name with `./`; folders end in `/`. Neither says anything. */
function trimmed(name: string): string {
  const start = name.startsWith("./") ? 2 : 0;
  const end = name.endsWith("/") ? name.length - 1 : name.length;
  return name === "." || start >= end ? "" : name.slice(start, end);
}
