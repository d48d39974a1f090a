/** A push deploys what is fetched by SSH, from a real server with keys of its own. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { freePort } from "../../src/core/free-port.fake.ts";
import { makeFolder, skipWithout, startDaemon, until } from "./daemon.fake.ts";
import { makeHook, makeRepo, noGit, pushOf, sendAsGitHub, untilDeployed } from "./hook-sender.fake.ts";

const SSHD = "/usr/sbin/sshd";
const isRoot = process.getuid?.() === 0;
const skip = noGit || skipWithout("openssh-server (as root)", existsSync(SSHD) && isRoot);

interface SshServer extends AsyncDisposable {
  readonly port: number;
  /** A line of known_hosts. */
  readonly knownHosts: string;
  /** The private key that it lets in. */
  readonly key: string;
}

function newKey(dir: string, name: string): { readonly file: string; readonly open: string } {
  const file = join(dir, name);
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file]);
  return { file, open: readFileSync(`${file}.pub`, "utf8").trim() };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("data", () => resolve(true)).once("error", () => resolve(false));
    socket.once("data", () => socket.destroy());
  });
}

async function startSshd(dir: string): Promise<SshServer> {
  const port = await freePort();
  const host = newKey(dir, "host");
  const user = newKey(dir, "user");
  const allowed = join(dir, "allowed");
  writeFileSync(allowed, `${user.open}\n`, { mode: 0o600 });
  // Where it gives up its rights; a started service has made it.
  mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const settings = [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${host.file}`,
    `AuthorizedKeysFile ${allowed}`,
    "PidFile none",
    "StrictModes no",
    "UsePAM no",
    "PasswordAuthentication no",
    "PermitRootLogin prohibit-password",
  ];
  const config = join(dir, "sshd_config");
  writeFileSync(config, `${settings.join("\n")}\n`);
  const child: ChildProcess = spawn(SSHD, ["-D", "-e", "-f", config], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
  const gone = once(child, "exit");
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`sshd left: ${said}`);
    return await answers(port);
  });
  return {
    port,
    knownHosts: `[127.0.0.1]:${port} ${host.open}`,
    key: readFileSync(user.file, "utf8"),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await gone;
    },
  };
}

describe("a hook that deploys by SSH", { skip }, () => {
  it("reads with its key, and takes only the host that it knows", async () => {
    using folder = makeFolder();
    await using sshd = await startSshd(folder.path);
    const dir = join(folder.path, "repo");
    mkdirSync(dir);
    const repo = makeRepo(dir);
    const commit = repo.commit({ "index.mjs": "export const handler = async () => 'by ssh';" });
    await using daemon = await startDaemon();
    const at = `ssh://${userInfo().username}@127.0.0.1:${sshd.port}${dir}`;
    const other = newKey(folder.path, "other");
    const outcomeOf = async (name: string, deploy: Readonly<Record<string, unknown>>) => {
      const path = await makeHook(daemon, { name, function: name, deploy: { repo: at, ...deploy } });
      const sent = await sendAsGitHub(daemon, path, { id: name, body: pushOf(commit) });
      assert.equal(sent.status, 202, sent.text);
      const [delivery] = await untilDeployed(daemon, name);
      return delivery;
    };

    const known = await outcomeOf("known", { sshKey: sshd.key, knownHosts: sshd.knownHosts });
    assert.equal(known?.outcome, "deployed", JSON.stringify(known));
    assert.equal((await daemon.call("known")).text, "by ssh");

    const first = await outcomeOf("first", { sshKey: sshd.key });
    assert.equal(first?.outcome, "deployed", JSON.stringify(first));

    const wrongHost = `[127.0.0.1]:${sshd.port} ${other.open}`;
    const changed = await outcomeOf("changed", { sshKey: sshd.key, knownHosts: wrongHost });
    assert.equal(changed?.outcome, "failed", JSON.stringify(changed));
    assert.match(changed?.note ?? "", /host key/i);

    const wrongKey = readFileSync(other.file, "utf8");
    const stranger = await outcomeOf("stranger", { sshKey: wrongKey, knownHosts: sshd.knownHosts });
    assert.equal(stranger?.outcome, "failed", JSON.stringify(stranger));
    assert.match(stranger?.note ?? "", /Permission denied/i);
    assert.equal((await daemon.call("stranger")).status, 404);
  });
});
