import { elfProgram } from "./elf-program.ts";

const CODE = {
  // mov eax, 34 (pause); syscall; jmp back
  x64: Buffer.from("b8220000000f05ebf7", "hex"),
  // mov x8, 73 (ppoll); x0 to x4 = 0; svc 0; b back
  arm64: Buffer.from("280980d2000080d2010080d2020080d2030080d2040080d2010000d4f9ffff17", "hex"),
};

/**
 * A program that does nothing, for ever: the whole of an image that Podman's networks are kept up with. A loop around one
 * system call that waits for a signal. Undefined for other machines than these.
 */
export function holderProgram(arch: string): Buffer | undefined {
  return elfProgram(arch, CODE);
}
