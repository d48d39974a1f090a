import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { encodeFilter, filterMachine, filterProgram, type Instruction } from "./seccomp.ts";
import { allowedCalls, type Machine } from "./syscall-table.ts";

const AUDIT: Readonly<Record<Machine, number>> = { x86_64: 0xc000003e, aarch64: 0xc00000b7 };
const AUDIT_I386 = 0x40000003;

const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const errno = (number: number) => 0x00050000 | number;
const EPERM = errno(1);
const ENOSYS = errno(38);
const EAFNOSUPPORT = errno(97);

/** Runs the program as the kernel would; throws where the kernel would refuse to load it. */
function answer(
  program: readonly Instruction[],
  call: { nr: number; arch: number; args?: readonly number[] },
): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call.nr, true);
  data.setUint32(4, call.arch, true);
  for (const [index, value] of (call.args ?? []).entries()) data.setUint32(16 + index * 8, value, true);
  let accumulator = 0;
  for (let at = 0; ; at += 1) {
    const instruction = program[at];
    assert.ok(instruction, "a jump beyond the end");
    const { code, jt, jf, k } = instruction;
    assert.ok(jt < 256 && jf < 256, "a jump too far");
    if (code === 0x20) accumulator = data.getUint32(k, true);
    else if (code === 0x05) at += k;
    else if (code === 0x15) at += accumulator === k ? jt : jf;
    else if (code === 0x35) at += accumulator >= k ? jt : jf;
    else if (code === 0x45) at += (accumulator & k) !== 0 ? jt : jf;
    else if (code === 0x06) return k;
    else assert.fail(`unknown instruction ${code}`);
  }
}

for (const machine of ["x86_64", "aarch64"] as const) {
  describe(`the filter for ${machine}`, () => {
    const program = filterProgram(machine);
    const ask = (nr: number, ...args: number[]) => answer(program, { nr, arch: AUDIT[machine], args });
    const column = machine === "x86_64" ? 1 : 2;
    const numberOf = (name: string) => Number(allowedCalls().find((call) => call[0] === name)?.[column]);

    it("allows every call of the table and refuses every other", () => {
      const allowed = new Set(allowedCalls().map((call) => Number(call[column])));
      const special = machine === "x86_64" ? [16, 41, 56, 135, 435] : [29, 198, 220, 92, 435];
      for (let nr = 0; nr < 600; nr += 1) {
        if (special.includes(nr)) continue;
        const other = nr < 451 ? EPERM : ENOSYS;
        assert.equal(ask(nr), allowed.has(nr) ? ALLOW : other, `call ${nr}`);
      }
    });

    it("kills what calls as another machine", () => {
      assert.equal(answer(program, { nr: 0, arch: AUDIT_I386 }), KILL);
    });

    it("lets threads and children be made, but no namespaces", () => {
      const clone = machine === "x86_64" ? 56 : 220;
      assert.equal(ask(clone, 0x3d0f00), ALLOW);
      assert.equal(ask(clone, 17), ALLOW);
      for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
        assert.equal(ask(clone, flag | 17), EPERM);
      }
      assert.equal(ask(435), ENOSYS);
    });

    it("lets sockets be made for the internet, this host and its routes only", () => {
      const socket = machine === "x86_64" ? 41 : 198;
      const answers = [1, 2, 10, 16, 17, 38, 40].map((family) => ask(socket, family, 1, 0));
      assert.deepEqual(answers, [ALLOW, ALLOW, ALLOW, ALLOW, EAFNOSUPPORT, EAFNOSUPPORT, EAFNOSUPPORT]);
      assert.equal(ask(socket, 16, 3, 9), EAFNOSUPPORT);
    });

    it("keeps terminals and personalities as they are", () => {
      const ioctl = machine === "x86_64" ? 16 : 29;
      const personality = machine === "x86_64" ? 135 : 92;
      assert.deepEqual(
        [ask(ioctl, 0, 0x5401), ask(ioctl, 0, 0x5412), ask(ioctl, 0, 0x541c)],
        [ALLOW, EPERM, EPERM],
      );
      assert.deepEqual(
        [ask(personality, 0), ask(personality, 0xffffffff), ask(personality, 0x40000)],
        [ALLOW, ALLOW, EPERM],
      );
    });

    it("knows the calls that every program makes", () => {
      for (const name of [
        "read",
        "write",
        "openat",
        "mmap",
        "execve",
        "exit_group",
        "futex",
        "rseq",
        "getrandom",
      ]) {
        assert.equal(ask(numberOf(name)), ALLOW, name);
      }
    });

    it("is short enough for the kernel, and has 8 bytes an instruction", () => {
      assert.ok(program.length <= 4096);
      assert.equal(encodeFilter(program).length, program.length * 8);
    });
  });
}

it("the filter for x86_64 knows no calls of the x32 kind", () => {
  assert.equal(answer(filterProgram("x86_64"), { nr: 0x40000000, arch: AUDIT.x86_64 }), ENOSYS);
});

it("other machines have no filter", () => {
  assert.deepEqual(["x64", "arm64", "riscv64", ""].map(filterMachine), [
    "x86_64",
    "aarch64",
    undefined,
    undefined,
  ]);
});

describe("the table of system calls", () => {
  it("has each name once, in order, with numbers", () => {
    const names = allowedCalls().map(([name]) => name);
    assert.deepEqual(names, [...new Set(names)].sort());
    for (const call of allowedCalls()) {
      for (const number of call.slice(1)) assert.match(number, /^(\d+|-)$/);
    }
  });

  const header = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
  it("has the numbers of this host's headers", {
    skip: existsSync(header) ? false : "no kernel headers",
  }, () => {
    const numbers = new Map(
      [...readFileSync(header, "utf8").matchAll(/^#define __NR_(\w+) (\d+)$/gm)].map(([, name, number]) => [
        name,
        number,
      ]),
    );
    for (const [name, x86_64] of allowedCalls()) {
      if (numbers.has(name)) assert.equal(x86_64, numbers.get(name), name);
    }
  });
});
