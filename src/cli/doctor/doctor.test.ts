import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { openLambda } from "../lambda-process.fake.ts";
import type { Check } from "./check.ts";
import { checkDocker } from "./docker.ts";
import { checkGit } from "./git.ts";
import { checkCgroups, checkIsolation } from "./isolation.ts";
import { checkLanguages } from "./languages.ts";
import { checkDataDir, checkDisk, checkNode, checkPort } from "./machine.ts";

const { signal } = new AbortController();
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "doctor-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

/** A program on a PATH of its own. */
async function install(name: string, script: string): Promise<void> {
  await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`);
  await chmod(join(dir, name), 0o755);
}

async function listen(
  listener: RequestListener,
  path?: string,
): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer(listener);
  if (path === undefined) server.listen(0, "127.0.0.1");
  else server.listen(path);
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? (address as AddressInfo).port : 0,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("git, by doctor", () => {
  it("is not needed, and told where it is there", async () => {
    const check = () => checkGit({ env: { PATH: dir }, signal });
    assert.equal((await check()).status, "absent");
    await install("git", "echo git version 2.39.5");
    assert.deepEqual(await check(), {
      name: "Git",
      status: "ok",
      found: "2.39.5 (for hooks that deploy)",
      remedy: undefined,
    });
  });
});

describe("languages, by doctor", () => {
  it("are told with their versions, and which there are not", async () => {
    const check = () => checkLanguages({ env: { PATH: dir }, signal });
    assert.deepEqual(await check(), {
      name: "Languages",
      status: "absent",
      found: "no Python, Ruby, Java, .NET, Go (each needed only for functions in it)",
      remedy: undefined,
    });
    await install("python3", "echo Python 3.11.7");
    await install("ruby", "echo 'ruby 3.1.2p20 (2022-04-12 revision 4491bb740a) [x86_64-linux-gnu]'");
    await install("java", "echo 'openjdk 17.0.19 2026-04-21'");
    await install("go", "exit 1");
    const apps = [
      "Microsoft.AspNetCore.App 8.0.1",
      "Microsoft.NETCore.App 8.0.1",
      "Microsoft.NETCore.App 10.0.0",
    ];
    await install("dotnet", `printf '%s [/x]\\n' ${apps.map((app) => `'${app}'`).join(" ")}`);
    const { status, found } = await check();
    assert.deepEqual(
      [status, found],
      [
        "ok",
        "Python 3.11.7, Ruby 3.1.2, Java 17.0.19, .NET 10.0.0; no Go (each needed only for functions in it)",
      ],
    );
  });
});

describe("Docker, by doctor", () => {
  const check = () => checkDocker({ env: { PATH: dir }, socketPath: join(dir, "docker.sock"), signal });

  it("is not installed", async () => {
    const found = "not installed (not needed)";
    assert.deepEqual(await check(), { name: "Docker", status: "absent", found, remedy: undefined });
  });

  it("is installed and not running", async () => {
    await install("docker", "echo Docker version 20");
    const { status, found, remedy } = await check();
    assert.deepEqual([status, remedy], ["absent", "sudo systemctl start docker"]);
    assert.match(found, /^installed, but nothing answers at/);
  });

  it("is there and not for this user", async () => {
    await using _engine = await listen((_, response) => response.end(), join(dir, "docker.sock"));
    await chmod(join(dir, "docker.sock"), 0o000);
    // Root may use every socket.
    if (isRoot) process.seteuid?.(NOBODY);
    try {
      const { found, remedy } = await check();
      assert.match(found, /^no permission to use/);
      assert.match(remedy ?? "", /usermod -aG docker/);
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });

  it("is there and hangs", async () => {
    await using _engine = await listen(() => undefined, join(dir, "docker.sock"));
    const { status, found, remedy } = await check();
    assert.equal(status, "absent");
    assert.match(found, /^what listens at .* does not answer within 3 s/);
    assert.match(remedy ?? "", /^it hangs or is overloaded/);
  });

  it("is there", async () => {
    const answer: RequestListener = (_, response) => response.end('{"Platform":{},"Version":"28.5.1"}');
    await using _engine = await listen(answer, join(dir, "docker.sock"));
    const found = "28.5.1, usable by this user (not needed)";
    assert.deepEqual(await check(), { name: "Docker", status: "ok", found, remedy: undefined });
  });
});

describe("Podman and rootless engines, by doctor", () => {
  it("are named, with what they cannot limit", async () => {
    const answer: RequestListener = ({ url }, response) =>
      response.end(
        url === "/version"
          ? '{"Components":[{"Name":"Podman Engine","Version":"4.3.1"}],"Version":"4.3.1"}'
          : '{"CgroupVersion":"1","Rootless":true}',
      );
    const socketPath = join(dir, "podman.sock");
    await using _engine = await listen(answer, socketPath);
    const check = await checkDocker({ env: { PATH: dir }, socketPath, signal });
    assert.equal(check.status, "weak");
    assert.match(check.found, /^Podman 4\.3\.1, usable .* no limit of memory, CPU time or processes$/);
    assert.match(check.remedy ?? "", /Delegate=/);
  });
});

describe("isolation, by doctor", () => {
  const statuses = (checks: readonly Check[]) =>
    Object.fromEntries(checks.map(({ name, status }) => [name, status]));

  it("says what to install where there is no bubblewrap", async () => {
    const checks = await checkIsolation({ env: { PATH: dir }, isRoot: false, signal });
    const { Bubblewrap, Namespaces, Seccomp } = statuses(checks);
    assert.deepEqual([Bubblewrap, Namespaces, Seccomp], ["missing", "missing", "missing"]);
    assert.match(checks[0]?.remedy ?? "", /^sudo apt-get install bubblewrap/);
  });

  it("tells what bubblewrap says when it may not make namespaces", async () => {
    await install(
      "bwrap",
      '[ "$1" = --version ] && echo "bubblewrap 0.9" && exit; echo "bwrap: No permissions" >&2; exit 1',
    );
    const env = { PATH: `${dir}:/usr/bin:/bin` };
    const checks = await checkIsolation({ env, isRoot: false, signal });
    const namespaces = checks.find(({ name }) => name === "Namespaces");
    assert.deepEqual([namespaces?.status, namespaces?.found], ["missing", "bwrap: No permissions"]);
    assert.ok(namespaces?.remedy);
    assert.equal(statuses(checks).Seccomp, "weak");
  });

  it("finds the controllers of version 2, and those that may not be written", async () => {
    const tree = join(dir, "cgroup");
    await mkdir(tree);
    await writeFile(join(tree, "cgroup.controllers"), "cpuset cpu io memory pids\n");
    await writeFile(join(dir, "mountinfo"), `30 23 0:26 / ${tree} rw,nosuid - cgroup2 cgroup2 rw\n`);
    await writeFile(join(dir, "own"), "0::/\n");
    const sources = { mountinfo: join(dir, "mountinfo"), ownGroups: join(dir, "own") };
    assert.equal(
      (await checkCgroups(true, sources)).found,
      "v2: memory, CPU time and processes can be limited, and functions that take much CPU stand back behind others",
    );

    await writeFile(join(tree, "cgroup.controllers"), "cpu pids\n");
    const { status, found } = await checkCgroups(true, sources);
    assert.deepEqual([status, found], ["weak", "memory cannot be limited: the kernel offers none here"]);

    await writeFile(join(dir, "own"), "0::/gone\n");
    const refused = await checkCgroups(false, sources);
    assert.match(refused.remedy ?? "", /Delegate=yes/);
  });
});

describe("the machine, by doctor", () => {
  it("wants a new Node", () => {
    assert.equal(checkNode("v26.1.0", "node").status, "ok");
    assert.equal(checkNode("v20.1.0", "node").status, "missing");
  });

  it("measures the disk of a folder that is still to be made", async () => {
    assert.match((await checkDisk(join(dir, "a", "b"))).found, /(GiB|MiB|TiB) free for /);
  });

  it("knows a data folder that is absent, private, open, or none", async () => {
    const data = join(dir, "data");
    assert.equal((await checkDataDir(data)).status, "ok");
    await mkdir(data, { mode: 0o700 });
    assert.deepEqual(await checkDataDir(data), {
      name: "Data folder",
      status: "ok",
      found: data,
      remedy: undefined,
    });
    await chmod(data, 0o755);
    assert.equal((await checkDataDir(data)).remedy, `chmod 700 ${data}`);
    await writeFile(join(dir, "file"), "");
    assert.equal((await checkDataDir(join(dir, "file"))).status, "missing");
  });

  it("tells a free port, lambdad's own, and a stranger's", async () => {
    const at = (port: number) =>
      checkPort("Port", { host: "127.0.0.1", port, healthPath: "/health", flag: "--control" }, signal);
    await using own = await listen((_, response) => response.end('{"status":"ok"}'));
    await using other = await listen((_, response) => response.end("<html>"));
    assert.match((await at(own.port)).found, /is lambdad's, which is running$/);
    const taken = await at(other.port);
    assert.deepEqual(
      [taken.status, taken.found],
      ["missing", `127.0.0.1:${other.port} is taken by another program`],
    );
    await other[Symbol.asyncDispose]();
    assert.match((await at(other.port)).found, /is free$/);
  });
});

describe("lambda doctor", () => {
  it("prints one document with --json, and exits with 1 where functions cannot run", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    const ran = await lambda.run(["doctor", "--json"], { env: { PATH: dir } });
    const report: { isFit: boolean; checks: Check[] } = JSON.parse(ran.stdout);
    assert.deepEqual([ran.exitCode, ran.stderr, report.isFit], [1, "", false]);
    const server = report.checks.find(({ name }) => name === "Server");
    assert.match(server?.found ?? "", /^cannot reach lambdad at/);
  });
});
