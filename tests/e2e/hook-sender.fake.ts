import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { macByOther } from "../../src/http/hooks/signer.fake.ts";
import { type Answer, send, skipWithout, type TestDaemon, until } from "./daemon.fake.ts";

/** A repository as somebody works on it, and pushes of it as GitHub tells of them. */
export interface PushedRepo {
  readonly dir: string;
  /** Commits those files on `main`, and gives the commit. */
  commit(files: Readonly<Record<string, string>>): string;
}

/** For tests of deployments. */
export const noGit = skipWithout("git", spawnSync("git", ["--version"]).status === 0);

const PERSON = {
  GIT_AUTHOR_NAME: "a",
  GIT_AUTHOR_EMAIL: "a@example.org",
  GIT_COMMITTER_NAME: "a",
  GIT_COMMITTER_EMAIL: "a@example.org",
};

export function makeRepo(dir: string): PushedRepo {
  const git = (...args: string[]) =>
    execFileSync("git", args, { cwd: dir, env: { ...process.env, ...PERSON }, encoding: "utf8" }).trim();
  git("init", "--quiet", "-b", "main");
  return {
    dir,
    commit(files) {
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(dir, name)), { recursive: true });
        writeFileSync(join(dir, name), text);
      }
      git("add", "--all");
      git("commit", "--quiet", "-m", "change");
      return git("rev-parse", "HEAD");
    },
  };
}

export const SECRET = "s3cret";

/** Sends what GitHub would; `path` is the hook's. */
export async function sendAsGitHub(
  daemon: TestDaemon,
  path: string,
  delivery: { readonly id: string; readonly event?: string; readonly body: string },
): Promise<Answer> {
  const { id, event = "push", body } = delivery;
  const headers = {
    "content-type": "application/json",
    "x-github-event": event,
    "x-github-delivery": id,
    "x-hub-signature-256": `sha256=${macByOther(SECRET, body)}`,
  };
  return await send(daemon.gatewayPort, path, { method: "POST", headers, body });
}

export function pushOf(commit: string): string {
  return JSON.stringify({ ref: "refs/heads/main", after: commit });
}

/** Makes a hook with `SECRET`, and gives its path. */
export async function makeHook(
  daemon: TestDaemon,
  wanted: Readonly<Record<string, unknown>>,
): Promise<string> {
  const body = { provider: "github", secret: SECRET, ...wanted };
  const { status, text } = await daemon.control("POST", "/v1/hooks", body);
  if (status !== 201) throw new Error(`the hook was not made: ${text}`);
  return new URL(JSON.parse(text).hook.url).pathname;
}

export interface DeliveryJson {
  readonly id: string;
  readonly outcome: string;
  readonly note?: string;
  readonly senderId?: string;
  readonly eventId?: string;
  readonly deployment?: { readonly version?: number; readonly attempts: number; readonly commit: string };
}

/** Latest first. */
export async function deliveriesOf(daemon: TestDaemon, hook: string): Promise<DeliveryJson[]> {
  const { text } = await daemon.control("GET", `/v1/hooks/${hook}/deliveries?limit=500`);
  return JSON.parse(text).deliveries;
}

/** Resolves when nothing waits or is being built any more. */
export async function untilDeployed(daemon: TestDaemon, hook: string): Promise<DeliveryJson[]> {
  await until(async () => {
    const open = (await deliveriesOf(daemon, hook)).map(({ outcome }) => outcome);
    return !open.includes("waiting") && !open.includes("building");
  }, 60_000);
  return await deliveriesOf(daemon, hook);
}
