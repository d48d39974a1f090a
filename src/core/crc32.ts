/** As `crc32` of node:zlib, which is loaded when it is needed first: that takes 2 ms, and a start needs none. */
export function crc32(data: string | NodeJS.ArrayBufferView, value?: number): number {
  zlib ??= process.getBuiltinModule("node:zlib");
  return zlib.crc32(data, value);
}

let zlib: typeof import("node:zlib") | undefined;
