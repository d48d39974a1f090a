/** Row R5 of the failure matrix, under a whole daemon: no inodes are left, and the disk becomes read-only by an error of its own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, it } from "node:test";
import {
  makeFolder,
  type Ran,
  skipWithout,
  startDaemon,
  type TestDaemon,
  until,
} from "../e2e/daemon.fake.ts";

const CYCLES = Math.min(10, Number(process.env.FAULTS_CYCLES ?? 10));
const WITHIN_MS = 120_000;
const INODES = 2_000;

it(`refuses what needs a file when no inodes are left, ${CYCLES} times, and goes on without a restart`, {
  skip: skipWithout("mount (as root)", canMountTmpfs()),
}, async (t) => {
  using disk = mounted(["-t", "tmpfs", "-o", `size=256m,nr_inodes=${INODES}`, "tmpfs"]);
  const dataDir = join(disk.path, "data");
  const ballast = join(disk.path, "ballast");
  const accepted: string[] = [];
  let refused = 0;
  let recoveredMsMax = 0;
  let version = 1;
  {
    await using daemon = await startDaemon({ dataDir });
    await mustDeploy(daemon, version);
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const files = takeInodes(ballast);
      assert.ok(files > INODES / 10, `only ${files} inodes were left to take`);
      const ran = await deploy(daemon, version + 1);
      assert.notEqual(ran.code, 0, "a deployment needs files");
      assert.match(ran.stderr, /StorageFull/);
      refused += 1;
      await servesStill(daemon, version);
      const id = await accept(daemon);
      if (id === undefined) refused += 1;
      else accepted.push(id);

      rmSync(ballast, { recursive: true });
      const freedAt = performance.now();
      version += 1;
      await mustDeploy(daemon, version);
      recoveredMsMax = Math.max(recoveredMsMax, Math.round(performance.now() - freedAt));
      await servesStill(daemon, version);
      accepted.push((await accept(daemon)) ?? assert.fail("there is room again"));
    }
    await allDone(daemon, accepted);
  }
  assert.equal(integrity(dataDir), "ok");
  t.diagnostic(JSON.stringify({ cycles: CYCLES, refused, accepted: accepted.length, recoveredMsMax }));
});

const image = join(mkdtempSync(join(tmpdir(), "lambdad-image-")), "disk");
after(() => rmSync(dirname(image), { recursive: true }));

it(`loses nothing of a disk that becomes read-only by an error, ${CYCLES} times`, {
  skip: skipWithout("mkfs.ext4 with a loop device (as root)", canFailDisk()),
}, async (t) => {
  const accepted: string[] = [];
  let refused = 0;
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    using disk = mounted(["-t", "ext4", "-o", "loop,errors=remount-ro", image]);
    const dataDir = join(disk.path, "data");
    await using daemon = await startDaemon({ dataDir });
    await mustDeploy(daemon, cycle);
    accepted.push((await accept(daemon)) ?? assert.fail("the disk is in order"));
    await allDone(daemon, accepted);
    writeFileSync(errorSwitch(disk.path), "x");

    const ran = await deploy(daemon, -1);
    assert.notEqual(ran.code, 0, "a deployment has to be written");
    assert.match(ran.stderr, /StoreUnavailable/);
    assert.equal(await accept(daemon), undefined, "an event has to be written");
    refused += 2;
    await servesStill(daemon, cycle);
    await daemon.stop("SIGTERM");
    assert.equal(integrity(dataDir), "ok");
  }
  t.diagnostic(JSON.stringify({ cycles: CYCLES, refused, accepted: accepted.length }));
});

function canMountTmpfs(): boolean {
  try {
    mounted(["-t", "tmpfs", "tmpfs"])[Symbol.dispose]();
    return true;
  } catch {
    return false;
  }
}

/** Makes the image, and finds out whether a loop device can be had for it. */
function canFailDisk(): boolean {
  writeFileSync(image, "");
  if (spawnSync("truncate", ["-s", "128M", image]).status !== 0) return false;
  if (spawnSync("mkfs.ext4", ["-q", image]).status !== 0) return false;
  try {
    using disk = mounted(["-t", "ext4", "-o", "loop,errors=remount-ro", image]);
    return existsSync(errorSwitch(disk.path));
  } catch {
    return false;
  }
}

/** What makes the kernel believe that it has found an error on the disk. */
function errorSwitch(path: string): string {
  const { stdout } = spawnSync("findmnt", ["-n", "-o", "SOURCE", path], { encoding: "utf8" });
  return `/sys/fs/ext4/${basename(stdout.trim())}/trigger_fs_error`;
}

function mounted(args: readonly string[]): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "lambdad-disk-"));
  const { status, stderr } = spawnSync("mount", [...args, path], { encoding: "utf8" });
  if (status !== 0) {
    rmSync(path, { recursive: true });
    throw new Error(`cannot mount: ${stderr}`);
  }
  return {
    path,
    [Symbol.dispose]() {
      spawnSync("umount", [path]);
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** How many files took all inodes. */
function takeInodes(folder: string): number {
  mkdirSync(folder);
  for (let file = 0; ; file++) {
    try {
      writeFileSync(join(folder, String(file)), "");
    } catch {
      return file;
    }
  }
}

async function deploy(daemon: TestDaemon, version: number): Promise<Ran> {
  using folder = makeFolder({ "index.mjs": `export const handler = async () => "version ${version}";` });
  return await daemon.lambda("--json", "deploy", folder.path, "--name", "f");
}

async function mustDeploy(daemon: TestDaemon, version: number): Promise<void> {
  const ran = await deploy(daemon, version);
  assert.equal(ran.code, 0, ran.stderr);
}

async function servesStill(daemon: TestDaemon, version: number): Promise<void> {
  const answer = await daemon.call("f");
  assert.deepEqual([answer.status, answer.text], [200, `version ${version}`]);
  assert.equal((await daemon.control("GET", "/v1/functions/f")).status, 200);
}

/** The event's id; undefined if it was refused as it should be. */
async function accept(daemon: TestDaemon): Promise<string | undefined> {
  const answer = await daemon.call("f", "/", { body: "{}", headers: { prefer: "respond-async" } });
  const said = JSON.parse(answer.text);
  if (answer.status === 202) return said.eventId;
  const how = `${answer.status} ${said.error?.code}`;
  assert.ok(["507 StorageFull", "503 StoreUnavailable"].includes(how), answer.text);
  return undefined;
}

async function allDone(daemon: TestDaemon, ids: readonly string[]): Promise<void> {
  await until(async () => {
    const states = await Promise.all(
      ids.map(async (id) => JSON.parse((await daemon.control("GET", `/v1/events/${id}`)).text).state),
    );
    return states.every((state) => state === "done");
  }, WITHIN_MS);
}

function integrity(dataDir: string): string {
  using database = new DatabaseSync(`file:${join(dataDir, "lambdad.db")}?immutable=1`, { readOnly: true });
  return String(database.prepare("PRAGMA integrity_check").get()?.integrity_check);
}
