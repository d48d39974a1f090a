/**
 * Programs of one or two KiB that stand on nothing but the kernel: an ELF file
 * (https://refspecs.linuxfoundation.org/elf/elf.pdf) made of a header of 64 bytes, a program header of 56, and code.
 */
export interface MachineCode {
  readonly x64: Buffer;
  readonly arm64: Buffer;
}

const MACHINE = { x64: 62, arm64: 183 } as const;
const BASE = 0x400000;
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const CODE_AT = HEADER_BYTES + PROGRAM_HEADER_BYTES;

/** Begins with the first byte of `code`, which is loaded at 0x400078. Undefined for other machines. */
export function elfProgram(arch: string, code: MachineCode): Buffer | undefined {
  if (arch !== "x64" && arch !== "arm64") return undefined;
  const file = Buffer.alloc(CODE_AT + code[arch].length);
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
  code[arch].copy(file, CODE_AT);
  return file;
}
