import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type BuildParts, type BuildRun, runTool } from "./tool.ts";

/** Whether there is a requirements.txt that asks for something, and nothing was installed beside it yet. */
export async function needsPip(treeDir: string): Promise<boolean> {
  const text = await readFile(join(treeDir, "requirements.txt"), "utf8").catch(() => "");
  const hasRequirement = text.split("\n").some((line) => /^\s*[^#\s]/.test(line));
  if (!hasRequirement) return false;
  return !(await readdir(treeDir)).some((name) => name.endsWith(".dist-info"));
}

/**
 * Installs requirements.txt beside the code, as Lambda's own packaging guide does. Without `allowScripts` only wheels
 * are taken: building from source runs the package's own code.
 */
export async function installRequirements(
  parts: BuildParts,
  run: BuildRun,
  options: { readonly allowScripts: boolean; readonly python: string },
): Promise<void> {
  const cache = join(parts.cacheDir, "pip");
  await mkdir(cache, { recursive: true });
  const wheels = options.allowScripts ? [] : ["--only-binary", ":all:"];
  const quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--cache-dir", cache];
  const where = ["-r", "requirements.txt", "--target", ".", "--no-compile"];
  await runTool(parts, run, {
    title: "pip install",
    command: [options.python, "-m", "pip", "install", ...where, ...wheels, ...quiet],
    // Or pip would complain that root runs it, which a daemon for sandboxes often is.
    environment: { PIP_ROOT_USER_ACTION: "ignore", PYTHONDONTWRITEBYTECODE: "1" },
    remedy: "install python3 and python3-pip, or deploy the folder with its packages in it",
  });
}
