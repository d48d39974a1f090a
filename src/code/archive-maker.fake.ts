/** Zips and tars made byte by byte, so that every field can lie. */
import { crc32, deflateRawSync } from "node:zlib";

export interface ZipSpec {
  readonly name: string | Buffer;
  readonly data?: Buffer | string;
  /** Whole Unix mode with file type; 0 is what DOS tools write. */
  readonly mode?: number;
  readonly method?: number;
  readonly flags?: number;
  readonly declaredSize?: number;
  readonly declaredPackedSize?: number;
  readonly declaredCrc?: number;
  /** Offset of the local header; undefined is the true one. */
  readonly offset?: number;
  readonly extra?: Buffer;
  /** Compressed data as it is to stand in the file. */
  readonly packed?: Buffer;
}

interface ZipOptions {
  readonly entryCount?: number;
  readonly comment?: Buffer;
  /** Count of entries in a Zip64 end record, which goes before the other. */
  readonly zip64Count?: number;
}

export function makeZip(specs: readonly ZipSpec[], options: ZipOptions = {}): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let position = 0;
  for (const spec of specs) {
    const { local, central } = zipEntry(spec, position);
    parts.push(local);
    directory.push(central);
    position += local.length;
  }
  const central = Buffer.concat(directory);
  const comment = options.comment ?? Buffer.alloc(0);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(options.entryCount ?? specs.length, 8);
  end.writeUInt16LE(options.entryCount ?? specs.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(position, 16);
  end.writeUInt16LE(comment.length, 20);
  const large =
    options.zip64Count === undefined ? [] : zip64End(options.zip64Count, position, central.length);
  return Buffer.concat([...parts, central, ...large, end, comment]);
}

function zip64End(count: number, directoryStart: number, directoryLength: number): readonly Buffer[] {
  const end = Buffer.alloc(56);
  end.writeUInt32LE(0x06064b50, 0);
  end.writeBigUInt64LE(44n, 4);
  end.writeBigUInt64LE(BigInt(count), 24);
  end.writeBigUInt64LE(BigInt(count), 32);
  end.writeBigUInt64LE(BigInt(directoryLength), 40);
  end.writeBigUInt64LE(BigInt(directoryStart), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(directoryStart + directoryLength), 8);
  locator.writeUInt32LE(1, 16);
  return [end, locator];
}

function zipEntry(spec: ZipSpec, position: number): { local: Buffer; central: Buffer } {
  const name = Buffer.from(spec.name);
  const data = Buffer.from(spec.data ?? "");
  const method = spec.method ?? 8;
  const packed = spec.packed ?? (method === 8 ? deflateRawSync(data) : data);
  const extra = spec.extra ?? Buffer.alloc(0);
  const flags = spec.flags ?? 0x800;
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50, 0);
  local.writeUInt16LE(20, 4);
  local.writeUInt16LE(flags, 6);
  local.writeUInt16LE(method, 8);
  local.writeUInt32LE(spec.declaredCrc ?? crc32(data), 14);
  local.writeUInt32LE(packed.length, 18);
  local.writeUInt32LE(data.length, 22);
  local.writeUInt16LE(name.length, 26);
  const central = Buffer.alloc(46);
  central.writeUInt32LE(0x02014b50, 0);
  central.writeUInt16LE((3 << 8) | 20, 4);
  central.writeUInt16LE(20, 6);
  central.writeUInt16LE(flags, 8);
  central.writeUInt16LE(method, 10);
  central.writeUInt32LE(spec.declaredCrc ?? crc32(data), 16);
  central.writeUInt32LE(spec.declaredPackedSize ?? packed.length, 20);
  central.writeUInt32LE(spec.declaredSize ?? data.length, 24);
  central.writeUInt16LE(name.length, 28);
  central.writeUInt16LE(extra.length, 30);
  central.writeUInt32LE(((spec.mode ?? 0o100644) << 16) >>> 0, 38);
  central.writeUInt32LE(spec.offset ?? position, 42);
  return { local: Buffer.concat([local, name, packed]), central: Buffer.concat([central, name, extra]) };
}

export interface TarSpec {
  readonly name: string | Buffer;
  readonly data?: Buffer | string;
  readonly mode?: number;
  /** Type flag: `0` file, `1` hard link, `2` symbolic link, `3` `4` devices, `5` folder, `6` pipe, `x` pax … */
  readonly type?: string;
  readonly link?: string;
  readonly declaredSize?: number;
  readonly checksum?: number;
}

export function makeTar(specs: readonly TarSpec[], options: { endBlocks?: number } = {}): Buffer {
  const parts = specs.flatMap((spec) => {
    const data = Buffer.from(spec.data ?? "");
    return [tarHeader(spec, data.length), data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, Buffer.alloc(512 * (options.endBlocks ?? 2))]);
}

/** A pax header entry for the entry after it. */
export function pax(records: Readonly<Record<string, string>>, type = "x"): TarSpec {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = Buffer.byteLength(rest) + 1;
    while (String(length).length + Buffer.byteLength(rest) !== length) length += 1;
    return `${length}${rest}`;
  });
  return { name: "PaxHeader/entry", type, data: lines.join("") };
}

function tarHeader(spec: TarSpec, size: number): Buffer {
  const header = Buffer.alloc(512);
  Buffer.from(spec.name).copy(header, 0, 0, 100);
  header.write(octal(spec.mode ?? 0o644, 8), 100, "latin1");
  header.write(octal(0, 8), 108, "latin1");
  header.write(octal(0, 8), 116, "latin1");
  header.write(octal(spec.declaredSize ?? size, 12), 124, "latin1");
  header.write(octal(0, 12), 136, "latin1");
  header.write("        ", 148, "latin1");
  header.write(spec.type ?? "0", 156, "latin1");
  header.write(spec.link ?? "", 157, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${octal(spec.checksum ?? sum, 7)} `, 148, "latin1");
  return header;
}

function octal(value: number, length: number): string {
  return `${value.toString(8).padStart(length - 1, "0")}\0`;
}
