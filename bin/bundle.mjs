/**
 * A bundle of the sources, so that a start reads a few files instead of a hundred and twenty. It is made after a start
 * that found none, by the esbuild that the package brings along, and holds for the sources it was made of: their
 * paths, sizes and times are its name. Where it cannot be made or read, the sources run as they are.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

const PROGRAMS = ["lambda", "lambdad"];
/** Past the busy moment of a start. */
const MAKE_AFTER_MS = 2_000;

/** The bundled main of `program`, or undefined if there is none for the sources as they are. */
export function findBundle(root, cacheFolder, program) {
  const file = join(bundleFolder(root, cacheFolder), `${program}.mjs`);
  return existsSync(file) ? file : undefined;
}

/** Makes the bundle in a process of its own when nothing else is to be done; never fails. */
export function makeBundleLater(root, cacheFolder) {
  const esbuild = join(
    root,
    "node_modules",
    "@esbuild",
    `${process.platform}-${process.arch}`,
    "bin",
    "esbuild",
  );
  if (!existsSync(esbuild)) return;
  const timer = setTimeout(() => {
    try {
      makeBundle(root, cacheFolder, esbuild);
    } catch {
      // A cache that cannot be written: the next start is as slow as this one.
    }
  }, MAKE_AFTER_MS);
  timer.unref();
}

function makeBundle(root, cacheFolder, esbuild) {
  const folder = bundleFolder(root, cacheFolder);
  const making = `${folder}.${process.pid}`;
  mkdirSync(cacheFolder, { recursive: true });
  const child = spawn(
    esbuild,
    [
      ...PROGRAMS.map((program) => join(root, "src", `${program}.ts`)),
      "--bundle",
      "--splitting",
      "--format=esm",
      "--platform=node",
      "--target=node24",
      "--packages=external",
      "--out-extension:.js=.mjs",
      "--log-level=silent",
      `--outdir=${making}`,
    ],
    { stdio: "ignore" },
  );
  child.unref();
  child.on("error", () => undefined);
  child.on("exit", (code) => {
    try {
      // Sources that changed meanwhile have another name; what was made of them must not get this one.
      if (code === 0 && bundleFolder(root, cacheFolder) === folder && !existsSync(folder)) {
        for (const old of readdirSync(cacheFolder).filter((name) => /^bundle-[0-9a-f]{16}$/.test(name))) {
          rmSync(join(cacheFolder, old), { recursive: true, force: true });
        }
        renameSync(making, folder);
      }
    } catch {
      // Another process was first.
    }
    rmSync(making, { recursive: true, force: true });
  });
}

function bundleFolder(root, cacheFolder) {
  const source = join(root, "src");
  let about = process.version;
  for (const entry of readdirSync(source, { recursive: true }).sort()) {
    if (!entry.endsWith(".ts") || entry.endsWith(".test.ts")) continue;
    const { size, mtimeMs } = statSync(join(source, entry));
    about += `\n${entry} ${size} ${mtimeMs}`;
  }
  return join(cacheFolder, `bundle-${fingerprint(about)}`);
}

/** 64 bits of FNV-1a, twice 32: loading node:crypto would cost more than a bundle saves. */
function fingerprint(text) {
  let [a, b] = [0x811c9dc5, 0x01000193];
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(text.length - 1 - i), 0x01000193);
  }
  return [a, b].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
