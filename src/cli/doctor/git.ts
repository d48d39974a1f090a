import { type Check, runProbe } from "./check.ts";

/** Git is needed where pushes deploy, and nowhere else. */
export async function checkGit(parts: {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}): Promise<Check> {
  const name = "Git";
  const { exitCode, stdout } = await runProbe(["git", "--version"], parts);
  if (exitCode === 0) {
    const found = `${stdout.replace(/^git version /, "")} (for hooks that deploy)`;
    return { name, status: "ok", found, remedy: undefined };
  }
  const found = "not installed (needed only for hooks that deploy)";
  return { name, status: "absent", found, remedy: undefined };
}
