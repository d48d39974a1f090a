/**
 * A program that does nothing, for ever: the whole of an image that Podman's networks are kept up with. It is an ELF file
 * made of its parts here (https://refspecs.linuxfoundation.org/elf/elf.pdf): a header of 64 bytes, a program header
 * of 56, and a loop around one system call that waits for a signal.
 */
const MACHINE = { x64: 62, arm64: 183 } as const;

const CODE = {
  // mov eax, 34 (pause); syscall; jmp back
  x64: "b8220000000f05ebf7",
  // mov x8, 73 (ppoll); x0 to x4 = 0; svc 0; b back
  arm64: "280980d2000080d2010080d2020080d2030080d2040080d2010000d4f9ffff17",
} as const;

const BASE = 0x400000;
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const CODE_AT = HEADER_BYTES + PROGRAM_HEADER_BYTES;

/** Undefined for other machines. */
export function holderProgram(arch: string): Buffer | undefined {
  if (arch !== "x64" && arch !== "arm64") return undefined;
  const code = Buffer.from(CODE[arch], "hex");
  const file = Buffer.alloc(CODE_AT + code.length);
  // 64 bits, little-endian, version 1; an executable for that machine.
  file.write("7f454c46020101", 0, "hex");
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(MACHINE[arch], 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(BASE + CODE_AT), 24);
  file.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  file.writeUInt16LE(HEADER_BYTES, 52);
  file.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  file.writeUInt16LE(1, 56);
  // To be loaded as a whole, to be read and run.
  file.writeUInt32LE(1, HEADER_BYTES);
  file.writeUInt32LE(5, HEADER_BYTES + 4);
  file.writeBigUInt64LE(BigInt(BASE), HEADER_BYTES + 16);
  file.writeBigUInt64LE(BigInt(BASE), HEADER_BYTES + 24);
  file.writeBigUInt64LE(BigInt(file.length), HEADER_BYTES + 32);
  file.writeBigUInt64LE(BigInt(file.length), HEADER_BYTES + 40);
  file.writeBigUInt64LE(0x1000n, HEADER_BYTES + 48);
  code.copy(file, CODE_AT);
  return file;
}
