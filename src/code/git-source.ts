/**
 * Takes the code of one commit out of a repository, as an archive:
 *
 *   ls-remote (where is the branch?) ─► fetch (that commit alone) ─► ls-tree ─► write-tree ─► archive
 *
 * Nothing is checked out, so no file of the repository is ever written or run on the way: what is left out and what
 * links point at is decided on the lists of the tree. Submodules are not followed.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PlatformError } from "../core/errors.ts";
import { parseRepoAddress, type RepoAddress } from "../core/repo-address.ts";
import { watchFolderSize } from "./folder-size.ts";
import { type GitCall, type GitOptions, type GitParts, gitConfig, runGit } from "./git.ts";
import { type GitEntry, parseTree, settleTree } from "./git-tree.ts";

/** What a repository is read with. */
export type GitCredential =
  | { readonly kind: "token"; readonly user: string; readonly token: string }
  | { readonly kind: "ssh-key"; readonly key: string; readonly knownHosts: string | undefined };

export interface CommitOrder {
  /** As `parseRepoAddress` takes it. */
  readonly repo: string;
  readonly branch: string;
  readonly commit: string;
  /** Folder of the repository; empty for all of it. */
  readonly path: string;
  readonly credential: GitCredential | undefined;
}

export interface GitSourceParts {
  /** From `buildEnvironment`. */
  readonly environment: Readonly<Record<string, string>>;
  /** Hosts whose keys were believed the first time, one file for all repositories. */
  readonly knownHostsFile: string;
}

/** A commit that is here, in a folder that the caller removes. */
export interface FetchedCommit {
  /** Where the branch is now; undefined if it is gone. */
  readonly tip: string | undefined;
  /** Writes the archive, a tar, and gives where it is. */
  pack(): Promise<{ readonly file: string; readonly bytes: number; readonly files: number }>;
}

const REF = "refs/lambdad/commit";
const TREE_BYTES_MAX = 32 * 1024 * 1024;
const REPO_BYTES_MAX = 1024 * 1024 * 1024;
/** The time of everything in an archive, so that the same code makes the same archive. */
const NO_TIME = "@0 +0000";

/**
 * Fetches the commit into `dir`, which is empty and the caller's.
 *
 * @throws PlatformError `BuildFailed` with what git says, or for a repository that is too large.
 */
export async function fetchCommit(
  parts: GitSourceParts,
  dir: string,
  order: CommitOrder,
  { signal, output }: GitOptions,
): Promise<FetchedCommit> {
  const address = parseRepoAddress(order.repo);
  if ("problem" in address) throw new PlatformError("BuildFailed", `repository: ${address.problem}`);
  const git = join(dir, "git");
  const home = join(dir, "home");
  await mkdir(home, { recursive: true, mode: 0o700 });
  const configFile = join(home, "gitconfig");
  await writeFile(configFile, gitConfig());
  const gitParts: GitParts = { environment: parts.environment, dir: home, configFile };
  const way = await wayTo(parts, home, address, order.credential);
  const token = order.credential?.kind === "token" ? order.credential.token : undefined;
  const shown = (line: string) => output(token === undefined ? line : line.replaceAll(token, "…"));
  const size = watchFolderSize(git, REPO_BYTES_MAX);
  const options = { signal: AbortSignal.any([signal, size.signal]), output: shown };
  const run = (call: GitCall) =>
    runGit(gitParts, { ...call, args: [`--git-dir=${git}`, ...call.args] }, options);

  try {
    await runGit(gitParts, { args: ["init", "--quiet", "--bare", "--template=", git] }, options);
    const ref = `refs/heads/${order.branch}`;
    const heads = await run({ args: ["ls-remote", "--quiet", "--", address.text, ref], environment: way });
    const tip = tipIn(heads.toString(), ref);
    const fetch = ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--"];
    try {
      const args = [...fetch, address.text, `+${order.commit}:${REF}`];
      await run({ args, environment: way });
    } catch (error) {
      // A server that gives no single commits still gives the one that the branch is at.
      if (tip !== order.commit || options.signal.aborted) throw error;
      await run({ args: [...fetch, address.text, `+${ref}:${REF}`], environment: way });
    }
    const commit = (await run({ args: ["rev-parse", "--verify", `${REF}^{commit}`] })).toString().trim();
    if (commit !== order.commit) {
      throw new PlatformError("BuildFailed", `git fetched ${commit} where ${order.commit} was asked for`);
    }
    return { tip, pack: () => pack(run, dir, order, options) };
  } finally {
    size.stop();
  }
}

type Run = (call: GitCall) => Promise<Buffer>;

async function pack(run: Run, dir: string, order: CommitOrder, { output }: GitOptions) {
  const spec = order.path === "" ? `${REF}^{tree}` : `${REF}:${order.path}`;
  const root = await run({ args: ["rev-parse", "--verify", "--end-of-options", spec] }).catch(
    (cause: unknown) => {
      throw new PlatformError("BuildFailed", `folder ${order.path} is not in commit ${order.commit}`, {
        cause,
      });
    },
  );
  const tree = root.toString().trim();
  const kind = await run({ args: ["cat-file", "-t", tree] });
  if (kind.toString().trim() !== "tree") {
    throw new PlatformError("BuildFailed", `${order.path} is no folder in commit ${order.commit}`);
  }
  const listed = await run({
    args: ["ls-tree", "-r", "-l", "-z", "--full-tree", tree],
    bytesMax: TREE_BYTES_MAX,
  });
  const textOf = async (entry: GitEntry) =>
    (await run({ args: ["cat-file", "blob", entry.object] })).toString();
  const settled = await settleTree(parseTree(listed.toString()), textOf);
  for (const name of settled.submodules) output(`submodule ${name} is left out`);
  const index = { GIT_INDEX_FILE: join(dir, "index") };
  const input = settled.files.map(({ mode, object, path }) => `${mode} ${object} 0\t${path}\0`).join("");
  await run({ args: ["update-index", "-z", "--index-info"], environment: index, input });
  const written = (await run({ args: ["write-tree"], environment: index })).toString().trim();
  // An archive of a commit has that one's time, one of a tree the time of day.
  const who = { name: "lambdad", email: "lambdad@localhost", date: NO_TIME };
  const environment = {
    GIT_AUTHOR_NAME: who.name,
    GIT_AUTHOR_EMAIL: who.email,
    GIT_AUTHOR_DATE: who.date,
    GIT_COMMITTER_NAME: who.name,
    GIT_COMMITTER_EMAIL: who.email,
    GIT_COMMITTER_DATE: who.date,
  };
  const commit = (await run({ args: ["commit-tree", written], environment, input: "" })).toString().trim();
  const file = join(dir, "code.tar");
  await run({ args: ["archive", "--format=tar", `--output=${file}`, commit] });
  // Credentials are gone before anything of the repository runs.
  await Promise.all(["git", "home"].map((name) => rm(join(dir, name), { recursive: true, force: true })));
  return { file, bytes: settled.bytes, files: settled.files.length };
}

/** `HASH\tREF` a line; the pattern may fit others as well. */
function tipIn(text: string, ref: string): string | undefined {
  const line = text.split("\n").find((each) => each.endsWith(`\t${ref}`));
  return line?.split("\t")[0];
}

/** What git is told of the transport; credentials are in the environment of these calls alone, or in files of `home`. */
async function wayTo(
  { knownHostsFile }: GitSourceParts,
  home: string,
  { kind }: RepoAddress,
  credential: GitCredential | undefined,
): Promise<Record<string, string>> {
  switch (kind) {
    case "local":
      return { GIT_ALLOW_PROTOCOL: "file" };
    case "http":
      return { GIT_ALLOW_PROTOCOL: "http" };
    case "https": {
      const way = { GIT_ALLOW_PROTOCOL: "https" };
      if (credential?.kind !== "token") return way;
      const login = Buffer.from(`${credential.user}:${credential.token}`).toString("base64");
      return {
        ...way,
        GIT_CONFIG_COUNT: "1",
        GIT_CONFIG_KEY_0: "http.extraHeader",
        GIT_CONFIG_VALUE_0: `Authorization: Basic ${login}`,
      };
    }
    case "ssh":
      return {
        GIT_ALLOW_PROTOCOL: "ssh",
        GIT_SSH_VARIANT: "ssh",
        GIT_SSH_COMMAND: await sshCommand(home, knownHostsFile, credential),
      };
  }
}

/** A line for a shell, which is how git takes it: only our own words and paths are in it. */
async function sshCommand(
  home: string,
  knownHostsFile: string,
  credential: GitCredential | undefined,
): Promise<string> {
  if (credential?.kind !== "ssh-key") {
    throw new PlatformError("BuildFailed", "a repository over SSH is read with a key; give the hook one");
  }
  const keyFile = join(home, "key");
  await writeFile(keyFile, credential.key.endsWith("\n") ? credential.key : `${credential.key}\n`, {
    mode: 0o600,
  });
  const isPinned = credential.knownHosts !== undefined;
  const hosts = isPinned ? join(home, "known_hosts") : knownHostsFile;
  if (credential.knownHosts !== undefined)
    await writeFile(hosts, `${credential.knownHosts}\n`, { mode: 0o600 });
  const settings = [
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "ClearAllForwardings=yes",
    "ControlMaster=no",
    "ConnectTimeout=20",
    "GlobalKnownHostsFile=/dev/null",
    `StrictHostKeyChecking=${isPinned ? "yes" : "accept-new"}`,
    // ssh takes spaces for the end of a name, and has quotes of its own.
    `UserKnownHostsFile="${hosts}"`,
  ];
  const words = ["ssh", "-F", "/dev/null", "-i", keyFile, ...settings.flatMap((setting) => ["-o", setting])];
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}
