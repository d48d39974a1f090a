/**
 * The system-call filter of every sandbox: a classic BPF program for `SECCOMP_SET_MODE_FILTER` (kernel
 * Documentation/userspace-api/seccomp_filter.rst), in the form bubblewrap's `--seccomp FD` reads: instructions of
 * 8 bytes `{u16 code, u8 jt, u8 jf, u32 k}`. It sees `{u32 nr, u32 arch, u64 ip, u64 args[6]}`.
 *
 * What syscall-table.ts lists passes. A few calls pass with some arguments only. Anything else gets EPERM, calls newer
 * than the table ENOSYS, so that a libc falls back to what it used before. Foreign architectures (32-bit calls) kill.
 */
import { allowedNumbers, FIRST_UNKNOWN, type Machine } from "./syscall-table.ts";

export interface Instruction {
  readonly code: number;
  /** Instructions to skip if the test holds, and if not. */
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

const LOAD = 0x20;
const JUMP = 0x05;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const JUMP_ANY_BIT = 0x45;
const RETURN = 0x06;

const OFFSET_NUMBER = 0;
const OFFSET_MACHINE = 4;
/** Low words of the first three arguments; both machines are little-endian. */
const OFFSET_ARGUMENTS = [16, 24, 32] as const;

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

const ALLOW = 0x7fff0000;
const KILL_PROCESS = 0x80000000;
const refuse = (errno: number) => 0x00050000 | errno;

interface MachineFacts {
  /** AUDIT_ARCH_*. */
  readonly audit: number;
  readonly clone: number;
  readonly clone3: number;
  readonly ioctl: number;
  readonly personality: number;
  readonly socket: number;
}

const MACHINES: Readonly<Record<Machine, MachineFacts>> = {
  x86_64: { audit: 0xc000003e, clone: 56, clone3: 435, ioctl: 16, personality: 135, socket: 41 },
  aarch64: { audit: 0xc00000b7, clone: 220, clone3: 435, ioctl: 29, personality: 92, socket: 198 },
};

/** x32 calls have this bit; the table knows none of them. */
const X32_BIT = 0x40000000;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NAMESPACE_FLAGS = 0x7e020000;

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
/** Only for NETLINK_ROUTE, which libc asks for the host's addresses. */
const AF_NETLINK = 16;

/** Both push input into a terminal (CVE-2017-5226 and kin). */
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

const PERSONALITY_QUERY = 0xffffffff;

/** The machine this process runs on; undefined where there is no table, and so no filter, for it. */
export function filterMachine(arch: string): Machine | undefined {
  if (arch === "x64") return "x86_64";
  if (arch === "arm64") return "aarch64";
  return undefined;
}

/** The filter as a file's content. */
export function encodeFilter(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(({ code, jt, jf, k }, index) => {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jt, index * 8 + 2);
    bytes.writeUInt8(jf, index * 8 + 3);
    bytes.writeUInt32LE(k, index * 8 + 4);
  });
  return bytes;
}

export function filterProgram(machine: Machine): readonly Instruction[] {
  const facts = MACHINES[machine];
  return [
    load(OFFSET_MACHINE),
    ...unlessEqual(facts.audit, [give(KILL_PROCESS)]),
    load(OFFSET_NUMBER),
    ...(machine === "x86_64" ? ifAtLeast(X32_BIT, [give(refuse(ENOSYS))]) : []),
    ...searchTree(segments(machine, facts)),
  ];
}

/** Numbers from `from` up to the next segment share one answer. */
interface Segment {
  readonly from: number;
  readonly answer: readonly Instruction[];
}

function segments(machine: Machine, facts: MachineFacts): readonly Segment[] {
  const allowed = new Set(allowedNumbers(machine));
  const special = new Map<number, readonly Instruction[]>([
    [facts.clone, cloneAnswer()],
    // Its flags are behind a pointer, which a filter cannot follow; without it libc uses clone.
    [facts.clone3, [give(refuse(ENOSYS))]],
    [facts.ioctl, refuseValues(1, [TIOCSTI, TIOCLINUX])],
    [facts.personality, allowValues(0, [0, PERSONALITY_QUERY])],
    [facts.socket, socketAnswer()],
  ]);
  const plain = {
    allow: [give(ALLOW)],
    refuse: [give(refuse(EPERM))],
    unknown: [give(refuse(ENOSYS))],
  } as const;
  const answerTo = (number: number) => {
    if (allowed.has(number)) return plain.allow;
    return special.get(number) ?? (number < FIRST_UNKNOWN ? plain.refuse : plain.unknown);
  };
  const end = Math.max(FIRST_UNKNOWN, ...allowed) + 1;
  const found: Segment[] = [];
  for (let number = 0; number <= end; number += 1) {
    const answer = answerTo(number);
    if (found.at(-1)?.answer !== answer) found.push({ from: number, answer });
  }
  return found;
}

/** Binary search over the segments: some six comparisons instead of hundreds. */
function searchTree(parts: readonly Segment[]): readonly Instruction[] {
  const [first] = parts;
  if (!first) return [];
  if (parts.length === 1) return first.answer;
  const middle = parts.length >> 1;
  const upper = parts.slice(middle);
  const lowerCode = searchTree(parts.slice(0, middle));
  const upperCode = searchTree(upper);
  return [
    { code: JUMP_AT_LEAST, jt: 0, jf: 1, k: upper[0]?.from ?? 0 },
    // A conditional jump reaches 255 instructions, this one all.
    { code: JUMP, jt: 0, jf: 0, k: lowerCode.length },
    ...lowerCode,
    ...upperCode,
  ];
}

function cloneAnswer(): readonly Instruction[] {
  return [
    load(OFFSET_ARGUMENTS[0]),
    { code: JUMP_ANY_BIT, jt: 0, jf: 1, k: NAMESPACE_FLAGS },
    give(refuse(EPERM)),
    give(ALLOW),
  ];
}

function socketAnswer(): readonly Instruction[] {
  const netlink = [load(OFFSET_ARGUMENTS[2]), ...ifEqual(0, [give(ALLOW)]), give(refuse(EAFNOSUPPORT))];
  return [
    load(OFFSET_ARGUMENTS[0]),
    ...[AF_UNIX, AF_INET, AF_INET6].flatMap((family) => ifEqual(family, [give(ALLOW)])),
    ...ifEqual(AF_NETLINK, netlink),
    give(refuse(EAFNOSUPPORT)),
  ];
}

function refuseValues(argument: 0 | 1, values: readonly number[]): readonly Instruction[] {
  return [
    load(OFFSET_ARGUMENTS[argument]),
    ...values.flatMap((value) => ifEqual(value, [give(refuse(EPERM))])),
    give(ALLOW),
  ];
}

function allowValues(argument: 0 | 1, values: readonly number[]): readonly Instruction[] {
  return [
    load(OFFSET_ARGUMENTS[argument]),
    ...values.flatMap((value) => ifEqual(value, [give(ALLOW)])),
    give(refuse(EPERM)),
  ];
}

function load(offset: number): Instruction {
  return { code: LOAD, jt: 0, jf: 0, k: offset };
}

function give(answer: number): Instruction {
  return { code: RETURN, jt: 0, jf: 0, k: answer >>> 0 };
}

function ifEqual(value: number, then: readonly Instruction[]): readonly Instruction[] {
  return [{ code: JUMP_EQUAL, jt: 0, jf: then.length, k: value }, ...then];
}

function unlessEqual(value: number, then: readonly Instruction[]): readonly Instruction[] {
  return [{ code: JUMP_EQUAL, jt: then.length, jf: 0, k: value }, ...then];
}

function ifAtLeast(value: number, then: readonly Instruction[]): readonly Instruction[] {
  return [{ code: JUMP_AT_LEAST, jt: 0, jf: then.length, k: value }, ...then];
}
