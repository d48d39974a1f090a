/**
 * A file as an archive entry: the header of POSIX 1003.1-1988 (ustar), 512 bytes, then the content, filled up to 512.
 * For the few files that are sent along with a build; whole folders are packed by a library.
 */
export function tarEntry(path: string, text: string | Uint8Array, mode = 0o644): Uint8Array {
  const content = Buffer.from(text);
  const entry = Buffer.alloc(BLOCK + Math.ceil(content.length / BLOCK) * BLOCK);
  entry.write(path, 0, 100, "utf8");
  entry.write(`${mode.toString(8).padStart(7, "0")}\0`, 100);
  entry.write("0000000\0", 108);
  entry.write("0000000\0", 116);
  entry.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  entry.write("00000000000\0", 136);
  // The sum is made as if it were blanks.
  entry.write("        ", 148);
  entry.write("0", 156);
  entry.write("ustar\x0000", 257);
  const sum = entry.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0);
  entry.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  content.copy(entry, BLOCK);
  return entry;
}

/** What stands behind the last entry. */
export const TAR_END: Uint8Array = Buffer.alloc(1_024);

const BLOCK = 512;
