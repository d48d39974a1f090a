import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type BoxWorld, bubblewrapOptions, type HostWorld, innerCommand } from "./bubblewrap.ts";
import type { StartRequest } from "./messages.ts";

const host: HostWorld = {
  bubblewrap: "/usr/bin/bwrap",
  setpriv: "/usr/bin/setpriv",
  env: "/usr/bin/env",
  systemPaths: [{ path: "/bin", linkTo: "usr/bin" }],
  etc: { folder: "/run/x/etc", mounts: [], hosts: "" },
  canDisableUserNamespaces: true,
};
const asRoot: BoxWorld = {
  folder: "/run/x/sb-1",
  user: { kind: "host", uid: 123_456 },
  unshareNetwork: false,
  makesSandboxes: false,
};
const asUser: BoxWorld = {
  folder: "/run/x/sb-1",
  user: { kind: "namespace", uid: 993 },
  unshareNetwork: true,
  makesSandboxes: false,
};
const request: StartRequest = {
  id: "sb-1",
  codeDir: "/data/tree",
  runtimeDir: null,
  optDir: null,
  toolDirs: [],
  memoryMib: 128,
  cpus: 1,
  pidsMax: 10,
  tmpMib: 512,
  isOffline: false,
  hasInput: false,
  wantsListener: false,
  forkFrom: null,
  command: ["/var/task/bootstrap", "--flag"],
  environment: { SECRET: "s3cret", LD_PRELOAD: "/var/task/evil.so" },
  workingDir: "/var/task",
  hosts: "",
};

/** Whether these options stand there in this order, one after the other. */
function has(options: readonly string[], ...wanted: readonly string[]): boolean {
  return options.some((_, at) => wanted.every((word, index) => options[at + index] === word));
}

describe("bubblewrapOptions", () => {
  it("gives root's helper no more rights than to become somebody else", () => {
    const options = bubblewrapOptions(host, asRoot, request);
    assert.ok(
      has(
        options,
        "--cap-drop",
        "ALL",
        "--cap-add",
        "CAP_SETUID",
        "--cap-add",
        "CAP_SETGID",
        "--cap-add",
        "CAP_SETPCAP",
      ),
    );
    assert.ok(!options.includes("--unshare-user"));
  });

  it("shuts user namespaces behind other users", () => {
    const options = bubblewrapOptions(host, asUser, request);
    assert.ok(has(options, "--unshare-user", "--disable-userns", "--uid", "993", "--gid", "993"));
    const older = bubblewrapOptions({ ...host, canDisableUserNamespaces: false }, asUser, request);
    assert.ok(!older.includes("--disable-userns"));
  });

  it("binds code read-only and leaves the rest of the host out", () => {
    const options = bubblewrapOptions(host, asRoot, { ...request, runtimeDir: "/opt/runtime" });
    assert.ok(has(options, "--ro-bind", "/data/tree", "/var/task"));
    assert.ok(has(options, "--ro-bind", "/opt/runtime", "/var/runtime"));
    assert.ok(!options.includes("--bind"));
    assert.ok(has(options, "--remount-ro", "/"));
    assert.ok(has(options, "--size", String(512 * 1024 * 1024), "--tmpfs", "/tmp"));
  });

  it("makes the way to a tool's folder, unless it is in /usr", () => {
    const options = bubblewrapOptions(host, asRoot, {
      ...request,
      toolDirs: ["/tools/node/bin", "/usr/lib/x", "/usrlocal"],
    });
    assert.ok(
      has(
        options,
        "--perms",
        "0755",
        "--dir",
        "/tools",
        "--perms",
        "0755",
        "--dir",
        "/tools/node",
        "--ro-bind",
        "/tools/node/bin",
        "/tools/node/bin",
      ),
    );
    assert.ok(has(options, "--ro-bind", "/usrlocal", "/usrlocal"));
    assert.ok(!options.includes("/usr/lib/x"));
  });

  it("unshares the network only if nobody made one", () => {
    assert.ok(!bubblewrapOptions(host, asRoot, request).includes("--unshare-net"));
    assert.ok(bubblewrapOptions(host, asUser, request).includes("--unshare-net"));
  });
});

describe("innerCommand", () => {
  it("keeps what loaders obey from helpers with rights, and all else off the command line", () => {
    const command = innerCommand(host, asRoot.user, request);
    const options = bubblewrapOptions(host, asRoot, request);
    assert.ok(!options.includes("LD_PRELOAD"));
    assert.ok(has(options, "--clearenv", "--setenv", "SECRET", "s3cret"));
    assert.deepEqual(command, [
      ...["/usr/bin/setpriv", "--reuid", "123456", "--regid", "123456", "--clear-groups"],
      ...["--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"],
      ...["/usr/bin/env", "--unset=PWD", "LD_PRELOAD=/var/task/evil.so", "/var/task/bootstrap", "--flag"],
    ]);
  });

  for (const name of [
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "GLIBC_TUNABLES",
    "LOCPATH",
    "GCONV_PATH",
    "LANG",
    "LC_ALL",
    "MALLOC_TRACE",
    "NLSPATH",
    "TZ",
    "MUSL_LOCPATH",
  ]) {
    it(`sets ${name} late`, () => {
      const late = { ...request, environment: { [name]: "x" } };
      assert.ok(!bubblewrapOptions(host, asRoot, late).includes(name));
      assert.ok(innerCommand(host, asRoot.user, late).includes(`${name}=x`));
    });
  }

  it("needs no helper without rights", () => {
    assert.deepEqual(innerCommand(host, asUser.user, request), [
      ...["/usr/bin/env", "--unset=PWD", "/var/task/bootstrap", "--flag"],
    ]);
    assert.ok(has(bubblewrapOptions(host, asUser, request), "--setenv", "LD_PRELOAD", "/var/task/evil.so"));
  });

  it("leaves PWD to who asked for it", () => {
    const command = innerCommand(host, asUser.user, { ...request, environment: { PWD: "/elsewhere" } });
    assert.ok(command.includes("PWD=/elsewhere"));
    assert.ok(!command.includes("--unset=PWD"));
  });
});
