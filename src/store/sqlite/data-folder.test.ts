import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type ErrorCode, isPlatformError } from "../../core/errors.ts";
import { jsonLog, silentLog } from "../../core/log.ts";
import { claimDataFolder } from "./data-folder.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-folder-"));
after(() => rm(root, { recursive: true }));
let count = 0;
const newDir = () => join(root, `${++count}`);

function throwsCode(work: () => unknown, code: ErrorCode, words: RegExp): void {
  assert.throws(work, (error) => isPlatformError(error, code) && words.test(error.message));
}

it("makes the folder and its files for nobody else to read", async () => {
  const dir = join(newDir(), "deep", "down");
  await using _claim = claimDataFolder(dir, silentLog);
  assert.equal((await stat(dir)).mode & 0o777, 0o700);
  for (const file of await readdir(dir))
    assert.equal((await stat(join(dir, file))).mode & 0o777, 0o600, file);
});

it("is refused while this process has it, and given when it was let go", async () => {
  const dir = newDir();
  const first = claimDataFolder(dir, silentLog);
  throwsCode(
    () => claimDataFolder(dir, silentLog),
    "DataFolderInUse",
    new RegExp(`in use by process ${process.pid}`),
  );
  throwsCode(() => claimDataFolder(dir, silentLog), "DataFolderInUse", /--data/);
  await first[Symbol.asyncDispose]();
  await first[Symbol.asyncDispose]();
  await using _second = claimDataFolder(dir, silentLog);
});

it("is refused while another process has it, by its id, and free the moment that is killed", async () => {
  const dir = newDir();
  const modules = ["./data-folder.ts", "../../core/log.ts"].map((name) =>
    fileURLToPath(new URL(name, import.meta.url)),
  );
  const script = `
    const [{ claimDataFolder }, { silentLog }] = await Promise.all(${JSON.stringify(modules)}.map((name) => import(name)));
    claimDataFolder(${JSON.stringify(dir)}, silentLog);
    process.stdout.write("claimed");
    setInterval(() => {}, 1e6);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  await once(child.stdout, "data");
  throwsCode(() => claimDataFolder(dir, silentLog), "DataFolderInUse", new RegExp(`process ${child.pid};`));
  child.kill("SIGKILL");
  await exited;
  await using _claim = claimDataFolder(dir, silentLog);
});

it("narrows an empty folder that others can read", async () => {
  const dir = newDir();
  await mkdir(dir, { mode: 0o755 });
  await using _claim = claimDataFolder(dir, silentLog);
  assert.equal((await stat(dir)).mode & 0o777, 0o700);
});

it("leaves the mode of a folder with something in it alone, and warns", async () => {
  const dir = newDir();
  await mkdir(dir);
  await writeFile(join(dir, "something"), "");
  await chmod(dir, 0o755);
  const said: string[] = [];
  await using _claim = claimDataFolder(
    dir,
    jsonLog((line) => said.push(line), "warn"),
  );
  assert.equal((await stat(dir)).mode & 0o777, 0o755);
  assert.equal(said.length, 1);
});

it("refuses a folder with something in it that anybody may write to", async () => {
  const dir = newDir();
  await mkdir(dir);
  await writeFile(join(dir, "something"), "");
  await chmod(dir, 0o777);
  throwsCode(() => claimDataFolder(dir, silentLog), "DataFolderMismatch", /chmod 700/);
  assert.deepEqual(await readdir(dir), ["something"]);
});

it("says what is in the way when the folder cannot be made", async () => {
  const file = newDir();
  await writeFile(file, "");
  throwsCode(() => claimDataFolder(join(file, "data"), silentLog), "StoreUnavailable", /ENOTDIR/);
});
