import { cp, mkdir, readdir, readFile, realpath, rm, unlink } from "node:fs/promises";
import { join, sep } from "node:path";
import { exists } from "../tree.ts";
import { type BuildParts, type BuildRun, runTool } from "./tool.ts";

/** Names of packages that package.json depends on and that are not in node_modules. */
export async function findMissingPackages(treeDir: string): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const name of await dependenciesOf(treeDir)) {
    if (!(await exists(join(treeDir, "node_modules", name)))) missing.push(name);
  }
  return missing;
}

/**
 * Installs what package.json needs to run, from the lockfile where there is one. Install scripts run only when asked
 * for: they are how most malicious packages get in.
 */
export async function installPackages(
  parts: BuildParts,
  run: BuildRun,
  options: { readonly allowScripts: boolean },
): Promise<void> {
  const hasLock =
    (await exists(join(run.dir, "package-lock.json"))) ||
    (await exists(join(run.dir, "npm-shrinkwrap.json")));
  for (const other of ["yarn.lock", "pnpm-lock.yaml", "bun.lock"]) {
    if (!hasLock && (await exists(join(run.dir, other))))
      run.output(
        `${other} is not read: npm picks versions by package.json; add a package-lock.json to fix them`,
      );
  }
  const verb = hasLock ? "ci" : "install";
  const cache = join(parts.cacheDir, "npm");
  await mkdir(cache, { recursive: true });
  const scripts = options.allowScripts ? [] : ["--ignore-scripts"];
  const quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--cache", cache];
  await runTool(parts, run, {
    title: `npm ${verb}`,
    command: ["npm", verb, "--omit=dev", ...scripts, ...quiet],
    environment: {},
    remedy: "install npm, or deploy the folder with its node_modules in it",
  });
  await replaceLinks(run.dir, join(run.dir, "node_modules"));
}

/**
 * The depot takes no links. Those in `.bin` are for the command line, code does not load them; npm makes others for
 * packages that are folders of the project, and these become copies. What leads elsewhere stays, and is refused.
 */
async function replaceLinks(root: string, modules: string): Promise<void> {
  for (const entry of await readdir(modules, { withFileTypes: true }).catch(() => [])) {
    const path = join(modules, entry.name);
    if (entry.name === ".bin") {
      await rm(path, { recursive: true });
    } else if (entry.isSymbolicLink()) {
      const target = await realpath(path);
      const isInProject = target.startsWith(root + sep) && !path.startsWith(target + sep);
      if (!isInProject) continue;
      await unlink(path);
      await cp(target, path, { recursive: true, verbatimSymlinks: true });
    } else if (entry.isDirectory()) {
      await replaceLinks(root, entry.name.startsWith("@") ? path : join(path, "node_modules"));
    }
  }
}

async function dependenciesOf(treeDir: string): Promise<readonly string[]> {
  const text = await readFile(join(treeDir, "package.json"), "utf8").catch(() => "{}");
  try {
    const manifest: unknown = JSON.parse(text);
    if (typeof manifest !== "object" || manifest === null || !("dependencies" in manifest)) return [];
    return Object.keys(manifest.dependencies ?? {});
  } catch {
    // npm says best what is wrong with the file: one name that is never there makes it run.
    return ["package.json"];
  }
}
