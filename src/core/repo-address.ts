/**
 * Where a repository is, as git takes it, but only in forms that cannot be anything else: no option, no transport that
 * runs a program (`ext::`), no credential.
 */
export interface RepoAddress {
  readonly kind: "https" | "http" | "ssh" | "local";
  /** As git gets it. */
  readonly text: string;
}

const LENGTH_MAX = 1_024;
const HOST = "[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:]+\\]";
const WEB = new RegExp(`^(https?)://(?:([^/@]*)@)?(?:${HOST})(?::[0-9]{1,5})?/[^?#]+$`);
const SSH = new RegExp(`^ssh://(?:([A-Za-z0-9_.-]+)@)?(?:${HOST})(?::[0-9]{1,5})?/[^?#]+$`);
/** `git@host:path`, whose path must not be taken for an option on the other side. */
const SCP = new RegExp(`^(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?(?:${HOST}):(?![-:/])[^:]+$`);
const LOCAL = /^(?:file:\/\/)?\/[^/]/;
/** Nothing that shows as nothing, or as something else. */
const PRINTABLE = /^[\x21-\x7e\u00a1-\uffff]+(?: [\x21-\x7e\u00a1-\uffff]+)*$/;

/** The address, or what is wrong with the text. */
export function parseRepoAddress(text: string): RepoAddress | { readonly problem: string } {
  if (text.length > LENGTH_MAX || !PRINTABLE.test(text)) {
    return { problem: `expected at most ${LENGTH_MAX} printable characters` };
  }
  const web = WEB.exec(text);
  if (web) {
    if (web[2] !== undefined) {
      return { problem: "it has a user or a password in it; give the credential apart from the address" };
    }
    return { kind: web[1] === "http" ? "http" : "https", text };
  }
  if (SSH.test(text) || SCP.test(text)) return { kind: "ssh", text };
  if (LOCAL.test(text)) return { kind: "local", text };
  return {
    problem: "expected https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, file:///PATH or /PATH",
  };
}

const BRANCH = /^[A-Za-z0-9_][A-Za-z0-9_./+#@-]{0,199}$/;

/** The names that `git check-ref-format` takes, of the characters that people use. */
export function isBranchName(text: string): boolean {
  return BRANCH.test(text) && !/\.\.|\/\/|@\{|\.lock(?:\/|$)|\/\.|[./]$|^@$/.test(text);
}

/** A folder inside a repository in its one form: no `/` at the ends, no dot segments. Empty is all of it. */
export function parseRepoFolder(text: string): string | undefined {
  const folder = text.replace(/^(?:\.?\/)+|\/+$/g, "");
  if (folder === "" || folder === ".") return "";
  if (folder.length > LENGTH_MAX || !PRINTABLE.test(folder)) return undefined;
  const names = folder.split("/");
  return names.some((name) => name === "" || name === "." || name === ".." || /[\\:]/.test(name))
    ? undefined
    : folder;
}

/** Whether it names a commit: SHA-1 or SHA-256 in hex. */
export function isCommitId(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}
