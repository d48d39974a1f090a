import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { PATH } from "../sandbox-spec.fake.ts";
import {
  census,
  openTestDriver,
  type TestDriver,
  untilItSpeaks,
  without,
  withoutRoot,
} from "./test-driver.fake.ts";

/** Asks the kernel directly: number, then arguments; says what came back. */
const SYSCALLS =
  'import ctypes,sys\nl=ctypes.CDLL(None,use_errno=True)\nfor c in sys.argv[1:]:\n  a=[int(x,0) for x in c.split(",")]\n  r=l.syscall(*a)\n  print(c, "allowed" if r>=0 else ctypes.get_errno())';

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

for (const [how, isForking, lacks] of [
  ["in bubblewrap", false, without("bwrap")],
  ["as a fork", true, without("bwrap", "python3") || withoutRoot()],
] as const)
  describe(`a sandbox ${how}`, { skip: lacks }, () => {
    let host: TestDriver;
    before(async () => {
      host = await openTestDriver({ isForking });
    });
    after(async () => {
      await host[Symbol.asyncDispose]();
    });

    it("has no capabilities, no way to new ones, and a system-call filter", async () => {
      const status = await host.run("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
      assert.deepEqual(
        Object.fromEntries(
          status
            .trim()
            .split("\n")
            .map((line) => line.split(":\t")),
        ),
        {
          CapInh: "0000000000000000",
          CapPrm: "0000000000000000",
          CapEff: "0000000000000000",
          CapBnd: "0000000000000000",
          CapAmb: "0000000000000000",
          NoNewPrivs: "1",
          Seccomp: "2",
        },
      );
    });

    it("runs as a user that has a name and is not root", async () => {
      const [uid, name, groups] = (await host.run("id -u; id -un; id -G")).split("\n");
      assert.notEqual(uid, "0");
      assert.equal(name, "sbx_user1051");
      assert.equal(groups, uid);
    });

    it("runs as a user of its own on this host", { skip: withoutRoot() }, async () => {
      const sandboxes = await Promise.all([1, 2, 3].map(() => host.start("id -u; sleep 1000")));
      const uids = await Promise.all(
        sandboxes.map(async (sandbox) => {
          sandbox.stderr.resume();
          sandbox.telemetry.resume();
          for await (const chunk of sandbox.stdout) return Number(chunk);
          return 0;
        }),
      );
      assert.equal(new Set(uids).size, 3);
      assert.ok(uids.every((uid) => uid >= 100_000));
      await Promise.all(sandboxes.map((sandbox) => sandbox[Symbol.asyncDispose]()));
    });

    it("sees no processes but its own and the reaper", async () => {
      const sibling = await host.start("echo up; sleep 1000");
      await untilItSpeaks(sibling);
      const processes = (await host.run("cat /proc/[0-9]*/comm")).trim().split("\n").sort();
      assert.deepEqual(processes, [isForking ? "python3" : "bwrap", "sh"]);
      await sibling[Symbol.asyncDispose]();
    });

    it("learns nothing from the first process", async () => {
      const read = "cat /proc/1/mem; tr '\\0' '\\n' < /proc/1/environ | grep -v '^PWD=/$'";
      assert.equal(await host.run(`(${read}) 2>/dev/null; echo end`), "end\n");
    });

    it("inherits no descriptors but its four", async () => {
      assert.equal(
        await host
          .run(
            "cd /proc/self/fd; exec perl -e 'print join q( ), map { readlink qq(/proc/self/fd/$_) and $_ } 0..1023'",
          )
          .then((all) => all.trim().split(/\s+/).slice(0, 5).join(" ")),
        "0 1 2 3",
      );
    });

    it("sees only the files it needs", async () => {
      assert.equal(
        await host.run("echo /*"),
        "/bin /dev /etc /lib /lib64 /opt /proc /run /sbin /tmp /usr /var\n",
      );
      assert.equal(
        await host.run("echo /run/* /var/* /home/* /root/*"),
        "/run/lambdad /var/runtime /var/task /home/* /root/*\n",
      );
      assert.equal(
        await host.run("ls /etc/shadow /etc/sudoers /etc/ssh /etc/ssl/private/* /sys 2>/dev/null"),
        "",
      );
    });

    it("can write nowhere but in its temporary folders", async () => {
      const tried =
        "/ /bin /dev /etc /lib /opt /proc /proc/sys/kernel /run /run/lambdad /usr /usr/bin /var /var/task /var/runtime";
      assert.equal(
        await host.run(
          `for at in ${tried} /tmp /dev/shm; do (: > $at/x) 2>/dev/null && echo $at; done; echo end`,
        ),
        "/tmp\n/dev/shm\nend\n",
      );
    });

    it("cannot change the kernel's settings", async () => {
      const tried =
        "/proc/sys/kernel/hostname /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches";
      assert.equal(
        await host.run(`for f in ${tried}; do (echo x > $f) 2>/dev/null && echo $f; done; echo end`),
        "end\n",
      );
    });

    it("finds devices that do no harm", async () => {
      assert.equal(
        await host.run(
          "for d in null zero full random urandom tty; do [ -c /dev/$d ] && printf '%s ' $d; done; find /dev -type b",
        ),
        "null zero full random urandom tty ",
      );
    });

    it("has limits on files and no core dumps", async () => {
      assert.equal(await host.run("ulimit -n; ulimit -Hn; ulimit -c"), "1024\n1024\n0\n");
    });

    it("names itself and the host's names", async () => {
      assert.equal(
        await host.run("cat /proc/sys/kernel/hostname; grep -c sandbox /etc/hosts"),
        "sandbox\n1\n",
      );
    });

    it("hides from the program where it came from", async () => {
      const command = await host.run(
        "tr '\\0' ' ' < /proc/1/cmdline; cat /proc/self/mountinfo | grep -c passwd",
      );
      assert.doesNotMatch(command, new RegExp(`--bind|${host.codeDir}`));
    });

    it("is the first to see variables that change how programs load", { skip: withoutRoot() }, async () => {
      // A library that setpriv would load while it still has rights.
      const said = await host.run("", {
        launch: () => ({
          command: ["sh", "-c", "id -u"],
          environment: { PATH, LD_DEBUG: "files", LD_PRELOAD: "/var/task/hello" },
          workingDir: "/",
        }),
      });
      assert.doesNotMatch(said, /setpriv/);
      assert.match(said, /hello/);
    });

    const refused: readonly (readonly [what: string, call: string, errno: number])[] = [
      ["mount", "165,0,0,0,0,0", EPERM],
      ["umount2", "166,0,0", EPERM],
      ["unshare of a user namespace", "272,0x10000000", EPERM],
      ["setns", "308,0,0", EPERM],
      ["clone into a user namespace", "56,0x10000011,0,0,0,0", EPERM],
      ["clone3", "435,0,0", ENOSYS],
      ["ptrace", "101,0,0,0,0", EPERM],
      ["process_vm_readv", "310,1,0,0,0,0,0", EPERM],
      ["bpf", "321,0,0,0", EPERM],
      ["perf_event_open", "298,0,0,0,0,0", EPERM],
      ["keyctl", "250,0,0,0,0,0", EPERM],
      ["add_key", "248,0,0,0,0,0", EPERM],
      ["userfaultfd", "323,0", EPERM],
      ["io_uring_setup", "425,1,0", EPERM],
      ["kexec_load", "246,0,0,0,0", EPERM],
      ["init_module", "175,0,0,0", EPERM],
      ["reboot", "169,0,0,0,0", EPERM],
      ["open_by_handle_at", "304,0,0,0", EPERM],
      ["chroot", "161,0", EPERM],
      ["pivot_root", "155,0,0", EPERM],
      ["settimeofday", "164,0,0", EPERM],
      ["clock_settime", "227,0,0", EPERM],
      ["iopl", "172,3", EPERM],
      ["syslog", "103,3,0,0", EPERM],
      ["a personality", "135,0x0040000", EPERM],
      ["a packet socket", "41,17,3,0", EAFNOSUPPORT],
      ["a vsock socket", "41,40,1,0", EAFNOSUPPORT],
      ["an AF_ALG socket", "41,38,5,0", EAFNOSUPPORT],
      ["an audit netlink socket", "41,16,3,9", EAFNOSUPPORT],
      ["pushing into a terminal", "16,0,0x5412,0", EPERM],
      ["a call that does not exist yet", "500,0", ENOSYS],
      ["a call of the x32 kind", "0x40000027", ENOSYS],
    ];

    it("is refused what it has no use for", {
      skip: process.arch !== "x64" ? "numbers are those of x86_64" : without("python3"),
    }, async () => {
      const said = await host.run("", {
        launch: () => ({
          command: ["/usr/bin/python3", "-c", SYSCALLS, ...refused.map(([, call]) => call)],
          environment: { PATH },
          workingDir: "/",
        }),
      });
      assert.deepEqual(
        said.trim().split("\n"),
        refused.map(([, call, errno]) => `${call} ${errno}`),
      );
    });

    it("may ask for routes, which libraries do", {
      skip: process.arch !== "x64" ? "numbers are those of x86_64" : without("python3"),
    }, async () => {
      const said = await host.run("", {
        launch: () => ({
          command: ["/usr/bin/python3", "-c", SYSCALLS, "41,16,3,0", "135,0xffffffff"],
          environment: { PATH },
          workingDir: "/",
        }),
      });
      assert.equal(said, "41,16,3,0 allowed\n135,0xffffffff allowed\n");
    });

    it("leaves nothing behind when the driver is closed", async () => {
      const other = await openTestDriver();
      await other.run("(setsid sleep 1000 &) ; echo x > /tmp/x");
      await other.driver[Symbol.asyncDispose]();
      assert.deepEqual(await census(other.runDir, other.instanceName), []);
      assert.deepEqual(await readdir(other.runDir), ["cache"]);
      await other[Symbol.asyncDispose]();
    });
  });
