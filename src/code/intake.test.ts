import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { describe, it } from "node:test";
import { brotliCompressSync, deflateRawSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { isPlatformError, PlatformError } from "../core/errors.ts";
import { makeTar, makeZip, pax, type TarSpec, type ZipSpec } from "./archive-maker.fake.ts";
import { type DepotPlace, makeDepotPlace, snapshot } from "./depot-place.fake.ts";

const GOOD: ZipSpec = { name: "index.js", data: "exports.handler = async () => 1;" };
const MIB = 1024 * 1024;

/** Names that no archive may use, whatever its format. */
const BAD_NAMES: readonly (readonly [string, string, RegExp])[] = [
  ["leads out", "../evil.js", /"\.\.\/evil\.js" has "\.\." in its path; pack the folder from within/],
  ["leads out deeper", "a/../../evil.js", /has "\.\."/],
  ["leads out and back", "a/../b.js", /has "\.\."/],
  ["ends in two dots", "a/..", /has "\.\."/],
  ["is two dots", "..", /has "\.\."/],
  ["is absolute", "/etc/evil", /absolute path/],
  ["is absolute by two slashes", "//etc/evil", /absolute path/],
  ["has a backslash", "..\\evil.js", /backslash/],
  ["has a drive letter", "C:evil.js", /drive letter/],
  ["has a drive letter and a slash", "c:/evil.js", /drive letter/],
  ["has an empty part", "a//b.js", /empty part/],
  ["has a dot part", "a/./b.js", /empty part/],
  ["begins with ./ twice", "././b.js", /empty part/],
  ["begins with ./ and leads out", "./../b.js", /has "\.\."/],
  ["begins with ./ and is absolute", ".//etc/passwd", /empty part/],
  ["has a line break", "a\nb.js", /"a\\nb\.js" has a control character/],
  ["has an escape sequence", "a\u001b[31m.js", /"a\\u001b\[31m\.js" has a control character/],
  ["has a delete character", "a\u007f.js", /control character/],
  ["is deep", `${"d/".repeat(64)}x`, /64 folders/],
];

const ZIPS: readonly (readonly [string, readonly ZipSpec[], RegExp])[] = [
  ...BAD_NAMES.map(([why, name, message]) => [`a name that ${why}`, [GOOD, { name }], message] as const),
  ["a name with NUL", [{ name: "a\0.js" }], /NUL/],
  ["no name", [{ name: "" }], /has no name/],
  ["a name too long", [{ name: "n".repeat(1_025) }], /longer than 1024 bytes/],
  ["a part too long", [{ name: "n".repeat(256) }], /longer than 255 bytes/],
  [
    "a name that is not UTF-8 but says so",
    [{ name: Buffer.from([0x61, 0xff, 0xfe]), flags: 0x800 }],
    /UTF-8/,
  ],
  [
    "a symbolic link",
    [GOOD, { name: "link", data: "/etc/passwd", mode: 0o120777 }],
    /"link" is a symbolic link.*resolved/,
  ],
  [
    "a link, then a file through it",
    [{ name: "d", data: "..", mode: 0o120777 }, { name: "d/x" }],
    /symbolic link/,
  ],
  ["a character device", [{ name: "dev", mode: 0o020666 }], /character device/],
  ["a block device", [{ name: "dev", mode: 0o060666 }], /block device/],
  ["a named pipe", [{ name: "pipe", mode: 0o010666 }], /named pipe/],
  ["a socket", [{ name: "sock", mode: 0o140666 }], /socket/],
  ["an unknown kind", [{ name: "what", mode: 0o150666 }], /unknown kind/],
  ["a setuid bit", [{ name: "su", mode: 0o104755 }], /setuid/],
  ["a setgid bit", [{ name: "su", mode: 0o102755 }], /setgid/],
  ["a sticky bit", [{ name: "su", mode: 0o101755 }], /sticky/],
  ["the same name twice", [GOOD, GOOD], /"index\.js" is there twice/],
  ["names that differ by case", [GOOD, { ...GOOD, name: "INDEX.js" }], /differ only by case/],
  ["folders that differ by case", [{ name: "Lib/a.js" }, { name: "lib/b.js" }], /differ only by case/],
  [
    "names that differ by Unicode form",
    [{ name: "caf\u00e9.js" }, { name: "cafe\u0301.js" }],
    /Unicode form/,
  ],
  ["names that differ by Unicode width", [{ name: "\uff41.js" }, { name: "a.js" }], /Unicode form/],
  ["a file under a file", [{ name: "a" }, { name: "a/b" }], /"a" is a file and a folder/],
  ["a file where a folder is", [{ name: "a/b" }, { name: "a" }], /"a" is a file and a folder/],
  ["a folder where a file is", [{ name: "a" }, { name: "a/", mode: 0o040755 }], /a file and a folder/],
  ["a folder with content", [{ name: "a/", data: "x", mode: 0o040755 }], /both a folder and a file/],
  ["a folder that is called like a file", [{ name: "a", mode: 0o040755 }], /both a folder and a file/],
  ["encryption", [{ ...GOOD, flags: 0x801 }], /encrypted/],
  ["hidden names (central directory encryption)", [{ ...GOOD, flags: 0x2800 }], /encrypted/],
  ["strong encryption", [{ ...GOOD, flags: 0x840 }], /encrypt/],
  ["a compression that we lack", [{ ...GOOD, method: 93 }], /compression method 93/],
  ["a size that is too small", [{ ...GOOD, declaredSize: 3 }], /says that it has 3 bytes, but it has more/],
  ["a size that is too large", [{ ...GOOD, declaredSize: 500 }], /says that it has 500 bytes, but it has 32/],
  [
    "a small entry that inflates to much",
    [{ name: "bomb", declaredSize: 1, packed: deflateRawSync(Buffer.alloc(100 * MIB)), data: "" }],
    /says that it has 1 bytes/,
  ],
  ["a wrong checksum", [{ ...GOOD, declaredCrc: 1 }], /wrong checksum/],
  [
    "data that is not deflate",
    [{ ...GOOD, packed: Buffer.from("this is not deflate") }],
    /"index\.js" is damaged/,
  ],
  [
    "cut deflate data",
    [{ ...GOOD, packed: deflateRawSync("x".repeat(500)).subarray(0, 4) }],
    /damaged|but it has/,
  ],
  ["a header offset outside", [{ ...GOOD, offset: 5_000_000 }], /damaged/],
  ["a header offset at something else", [{ ...GOOD, offset: 7 }], /damaged/],
  ["a packed size outside", [{ ...GOOD, declaredPackedSize: 9_000_000 }], /damaged/],
  [
    "two entries with the same data",
    [
      { ...GOOD, name: "a" },
      { ...GOOD, name: "b", offset: 0 },
    ],
    /overlap/,
  ],
  [
    "an entry inside another's data",
    [
      { name: "a", method: 0, data: makeZip([GOOD]) },
      { ...GOOD, offset: 31 },
    ],
    /overlap/,
  ],
  [
    "more than may be unpacked, by what it says",
    [{ ...GOOD, declaredSize: 262_144_001 }],
    /smaller than 262144000 bytes/,
  ],
  [
    "more than may be unpacked, in sum",
    [
      { ...GOOD, declaredSize: 262_144_000 },
      { name: "b", data: "x" },
    ],
    /smaller than 262144000|200 times/,
  ],
  ["a bomb by its ratio", [{ name: "zeros", data: Buffer.alloc(64 * MIB) }], /200 times its size/],
  ["extra fields that overrun", [{ ...GOOD, extra: Buffer.from([1, 0, 255, 0]) }], /damaged/],
  ["only folders", [{ name: "a/", mode: 0o040755 }], /no files/],
  ["only what macOS adds", [{ name: "__MACOSX/._index.js" }, { name: ".DS_Store" }], /no files/],
  ["nothing", [], /no files/],
];

const TAR_GOOD: TarSpec = { name: "index.js", data: "exports.handler = async () => 1;" };

const TARS: readonly (readonly [string, readonly TarSpec[], RegExp])[] = [
  ...BAD_NAMES.filter(([, name]) => name.length <= 100).map(
    ([why, name, message]) => [`a name that ${why}`, [TAR_GOOD, { name }], message] as const,
  ),
  ...BAD_NAMES.filter(([, name]) => !name.includes("\n")).map(
    ([why, path, message]) => [`a pax name that ${why}`, [pax({ path }), TAR_GOOD], message] as const,
  ),
  [
    "a GNU long name that leads out",
    [{ name: "././@LongLink", type: "L", data: "../evil\0" }, TAR_GOOD],
    /has "\.\."/,
  ],
  ["a name that is not UTF-8", [{ name: Buffer.from([0x61, 0xff, 0xfe]) }], /UTF-8/],
  ["a symbolic link", [{ name: "link", type: "2", link: "/etc/passwd" }], /symbolic link/],
  ["a hard link", [{ name: "link", type: "1", link: "../../etc/passwd" }], /hard link/],
  [
    "a link, then a file through it",
    [
      { name: "d", type: "2", link: ".." },
      { name: "d/x", data: "x" },
    ],
    /symbolic link/,
  ],
  ["a character device", [{ name: "dev", type: "3" }], /character device/],
  ["a block device", [{ name: "dev", type: "4" }], /block device/],
  ["a named pipe", [{ name: "pipe", type: "6" }], /named pipe/],
  ["a GNU sparse file", [{ name: "sparse", type: "S" }], /tar type/],
  ["a GNU dump folder", [{ name: "dump", type: "D" }], /tar type/],
  ["an unknown type", [{ name: "what", type: "Z" }], /tar type/],
  ["a setuid bit", [{ name: "su", mode: 0o4755 }], /setuid/],
  ["a setgid bit", [{ name: "su", mode: 0o2755 }], /setgid/],
  ["the same name twice", [TAR_GOOD, TAR_GOOD], /there twice/],
  ["the same name with and without ./", [TAR_GOOD, { ...TAR_GOOD, name: "./index.js" }], /there twice/],
  ["names that differ by case", [TAR_GOOD, { ...TAR_GOOD, name: "Index.js" }], /differ only by case/],
  [
    "a file under a file",
    [
      { name: "a", data: "1" },
      { name: "a/b", data: "2" },
    ],
    /a file and a folder/,
  ],
  ["a size past the end", [{ ...TAR_GOOD, declaredSize: 99_999 }], /reaches past its end/],
  ["a pax size past the end", [pax({ size: "99999999999" }), TAR_GOOD], /reaches past its end/],
  ["a pax size that is no number", [pax({ size: "1e400" }), TAR_GOOD], /valid size/],
  [
    "a pax header that is huge",
    [{ name: "pax", type: "x", data: Buffer.alloc(65 * 1024, 32) }, TAR_GOOD],
    /takes 66560 bytes/,
  ],
  ["a wrong checksum further on", [TAR_GOOD, { name: "b", checksum: 1 }], /checksum/],
  ["no files", [{ name: "a/", type: "5" }], /no files/],
];

const FILES: readonly (readonly [string, Buffer, string | undefined, RegExp])[] = [
  ["an empty file", Buffer.alloc(0), "index.js", /is empty/],
  ["text without a name", Buffer.from("hello"), undefined, /neither a zip nor a tar/],
  ["text that is called .zip", Buffer.from("hello"), "code.zip", /"code\.zip" is not a zip file/],
  ["text that is called .tar.gz", Buffer.from("hello"), "code.tar.gz", /not a tar\.gz file/],
  ["a tar that is called .zip", makeTar([TAR_GOOD]), "code.zip", /not a zip file/],
  ["a zip that is called .tgz", makeZip([GOOD]), "x.TGZ", /not a tgz file/],
  ["a cut zip", makeZip([GOOD]).subarray(0, 60), undefined, /zip file is damaged/],
  ["a zip with bytes after it", Buffer.concat([makeZip([GOOD]), Buffer.from("more")]), undefined, /damaged/],
  ["a zip that says more entries than it has", makeZip([GOOD], { entryCount: 9 }), undefined, /damaged/],
  ["a zip that says 65,535 entries", makeZip([GOOD], { entryCount: 65_535 }), undefined, /damaged|entries/],
  ["a gzip of text", gzipSync("hello"), undefined, /does not contain a tar/],
  ["a gzip of a gzip of a tar", gzipSync(gzipSync(makeTar([TAR_GOOD]))), undefined, /does not contain a tar/],
  ["a cut gzip", gzipSync(makeTar([TAR_GOOD])).subarray(0, 40), undefined, /gzip file is damaged/],
  [
    "a gzip of a tar with a link",
    gzipSync(makeTar([{ name: "l", type: "2", link: "x" }])),
    "x.tgz",
    /symbolic link/,
  ],
  ["a tar without its end", makeTar([TAR_GOOD], { endBlocks: 0 }), undefined, /without its end mark/],
  [
    "a cut tar",
    makeTar([{ name: "a", data: Buffer.alloc(5_000) }]).subarray(0, 2_000),
    undefined,
    /past its end/,
  ],
  ["xz", Buffer.from("\xfd7zXZ\0abc", "latin1"), "code.xz", /packed with xz/],
  ["bzip2", Buffer.from("BZh91AY"), "code.tbz", /packed with bzip2/],
  ["7z", Buffer.from("7z\xbc\xaf\x27\x1c", "latin1"), "a.7z", /packed with 7z/],
  [
    "brotli, which nothing tells",
    brotliCompressSync(Buffer.from("hello")),
    undefined,
    /neither a zip nor a tar/,
  ],
  ["a single file with a path", Buffer.from("x"), "../index.js", /has a \/ in it/],
  ["a single file called ..", Buffer.from("x"), "..", /has "\.\."/],
  ["a single file with a backslash", Buffer.from("x"), "a\\b.js", /backslash/],
  ["a single file with a control character", Buffer.from("x"), "a\u0007.js", /control character/],
];

async function refuses(
  place: DepotPlace,
  content: Buffer,
  name: string | undefined,
  message: RegExp,
): Promise<void> {
  const before = await snapshot(place.dir);
  await assert.rejects(place.upload(content, name), (error) => {
    assert.ok(isPlatformError(error, "InvalidArchive"), String(error));
    assert.match(error.message, message);
    assert.match(error.message, /; ./, "names a remedy");
    return true;
  });
  assert.deepEqual(await snapshot(place.dir), before);
}

describe("intake refuses", () => {
  it(`${ZIPS.length + TARS.length * 2 + FILES.length} bad uploads and leaves nothing behind`, async (t) => {
    await using place = await makeDepotPlace();
    for (const [why, specs, message] of ZIPS) {
      await t.test(`a zip with ${why}`, () => refuses(place, makeZip(specs), undefined, message));
    }
    for (const [why, specs, message] of TARS) {
      await t.test(`a tar with ${why}`, () => refuses(place, makeTar(specs), undefined, message));
      await t.test(`a gzipped tar with ${why}`, () =>
        refuses(place, gzipSync(makeTar(specs)), undefined, message),
      );
    }
    for (const [why, content, name, message] of FILES) {
      await t.test(why, () => refuses(place, content, name, message));
    }
  });

  it("an archive with too many entries", async () => {
    await using place = await makeDepotPlace();
    const many = Array.from({ length: 65_537 }, (_, index) => ({ name: `f${index}` }));
    await refuses(place, makeTar(many), undefined, /more than 65536 entries/);
    await refuses(
      place,
      makeZip([GOOD], { zip64Count: 70_000 }),
      undefined,
      /has 70000 entries, 65536 are allowed/,
    );
    await refuses(place, makeZip([GOOD], { zip64Count: 2 ** 60 }), undefined, /65536 are allowed/);
  });

  it("bombs, within 64 MiB of memory and two seconds of CPU, without holding up the event loop", async () => {
    await using place = await makeDepotPlace();
    // 10 GB of zeros cannot be made here: a header that says so, and as many zeros as get past the first look.
    const zeros = deflateRawSync(Buffer.alloc(200 * MIB));
    const bombs: readonly (readonly [Buffer, RegExp])[] = [
      [makeZip([{ name: "z", packed: zeros, data: "", declaredSize: 200 * MIB }]), /200 times/],
      [makeZip([{ name: "z", packed: zeros, data: "", declaredSize: 1 }]), /but it has more/],
      [gzipSync(makeTar([{ name: "z", data: Buffer.alloc(200 * MIB) }])), /200 times/],
      [Buffer.concat([gzipSync(makeTar([TAR_GOOD])), gzipSync(Buffer.alloc(200 * MIB))]), /200 times/],
      [makeTar([{ name: "z", declaredSize: 8_589_934_591 }]), /past its end/],
    ];
    for (const [content, message] of bombs) {
      global.gc?.();
      const memory = process.memoryUsage().rss;
      const cpu = process.cpuUsage();
      const turns = watchTurns();
      await refuses(place, content, undefined, message);
      const used = process.cpuUsage(cpu);
      const longestTurn = turns.stop();
      assert.ok(longestTurn < 100, `a turn of the event loop took ${longestTurn} ms of CPU`);
      assert.ok((used.user + used.system) / 1e6 < 2, `${(used.user + used.system) / 1e6} s of CPU`);
      assert.ok(process.memoryUsage().rss - memory < 64 * MIB, "memory");
    }
  });
});

/** Looks every few ms how much CPU this thread has taken; unlike the time between, that is the same on a busy machine. */
function watchTurns(): { stop(): number } {
  let before = process.threadCpuUsage();
  let longest = 0;
  const look = () => {
    const { user, system } = process.threadCpuUsage(before);
    longest = Math.max(longest, (user + system) / 1_000);
    before = process.threadCpuUsage();
  };
  const timer = setInterval(look, 5);
  return {
    stop() {
      clearInterval(timer);
      look();
      return longest;
    },
  };
}

describe("intake accepts", () => {
  const expected = ["bin/ 755", "bin/run 755", "empty/ 755", "index.js 644"];

  async function treeOf(place: DepotPlace, content: Buffer, name?: string): Promise<string[]> {
    const { treeId } = await place.upload(content, name);
    return (await snapshot(await place.depot.openTree(treeId))).map((line) =>
      line.replace(/ [0-9a-f]{12}$/, ""),
    );
  }

  it("the same tree from a zip, a tar and a gzipped tar", async () => {
    await using place = await makeDepotPlace();
    const zip = makeZip([
      GOOD,
      { name: "empty/", mode: 0o042775 },
      { name: "bin/run", data: "#!/bin/sh\n", mode: 0o100700 },
      { name: "__MACOSX/._index.js", data: "x" },
      { name: "bin/.DS_Store", data: "x" },
    ]);
    const tar = makeTar([
      { name: "./", type: "5", mode: 0o1777 },
      { name: "./bin/", type: "5" },
      { name: "./bin/run", data: "#!/bin/sh\n", mode: 0o711 },
      { name: "./empty", type: "5" },
      { ...TAR_GOOD, name: "./index.js", mode: 0o666 },
    ]);
    const trees = [await place.upload(zip), await place.upload(tar), await place.upload(gzipSync(tar))];
    assert.deepEqual(await treeOf(place, zip), expected);
    assert.equal(new Set(trees.map(({ treeId }) => treeId)).size, 1);
  });

  it("programs from a zip without modes, by how they begin", async () => {
    await using place = await makeDepotPlace();
    const zip = makeZip([
      { name: "elf", data: "\x7fELF\x02", mode: 0 },
      { name: "script", data: "#!/bin/sh\n", mode: 0, method: 0 },
      { name: "text", data: "# no", mode: 0 },
      { name: "nothing", data: "", mode: 0 },
    ]);
    assert.deepEqual(await treeOf(place, zip), ["elf 755", "nothing 644", "script 755", "text 644"]);
  });

  it("a single file under its name, executable if it is a program", async () => {
    await using place = await makeDepotPlace();
    assert.deepEqual(await treeOf(place, Buffer.from("exports.handler = 1"), "index.js"), ["index.js 644"]);
    assert.deepEqual(await treeOf(place, Buffer.from("#!/bin/sh\n"), "bootstrap"), ["bootstrap 755"]);
    // A zip with a program before it is run as it is (python -m zipapp makes such).
    assert.deepEqual(
      await treeOf(place, Buffer.concat([Buffer.from("#!/usr/bin/python3\n"), makeZip([GOOD])]), "app"),
      ["app 755"],
    );
  });

  it("long names by pax and by GNU headers, and names in any language", async () => {
    await using place = await makeDepotPlace();
    const long = `${"n".repeat(90)}/${"m".repeat(120)}`;
    assert.deepEqual(await treeOf(place, makeTar([pax({ path: `${long}.js` }), TAR_GOOD])), [
      `${"n".repeat(90)}/ 755`,
      `${long}.js 644`,
    ]);
    const gnu = makeTar([{ name: "././@LongLink", type: "L", data: `${long}\0` }, TAR_GOOD]);
    assert.deepEqual(await treeOf(place, gnu), [`${"n".repeat(90)}/ 755`, `${long} 644`]);
    // Flagged as UTF-8, and as Finder writes it: UTF-8 without a flag.
    for (const flags of [0x800, 0])
      assert.deepEqual(await treeOf(place, makeZip([{ ...GOOD, name: "привет.js", flags }])), [
        "привет.js 644",
      ]);
  });

  it("a Zip64 archive, as tools make them of streams", async () => {
    await using place = await makeDepotPlace();
    assert.deepEqual(await treeOf(place, makeZip([GOOD], { zip64Count: 1 })), ["index.js 644"]);
  });

  it("large files, packed and stored", async () => {
    await using place = await makeDepotPlace();
    const data = Buffer.from(Array.from({ length: 3 * MIB }, (_, index) => (index * index) >> 5));
    const zip = makeZip([
      { name: "packed", data },
      { name: "stored", data, method: 0 },
    ]);
    const ref = await place.upload(zip);
    assert.equal(ref.treeBytes, 6 * MIB);
    assert.equal(ref.archiveBytes, zip.length);
  });
});

describe("intake, with valid archives changed at random", () => {
  const entries = [
    GOOD,
    { name: "lib/a.js", data: "a".repeat(700) },
    { name: "lib/b/c.bin", data: "\0\x01" },
  ];
  const originals: readonly Buffer[] = [
    makeZip(entries),
    makeZip(entries.map((entry) => ({ ...entry, method: 0 }))),
    makeTar([{ name: "lib/", type: "5" }, ...entries, pax({ path: "lib/long.js" }), TAR_GOOD]),
    gzipSync(makeTar(entries)),
  ];
  const mutation = fc.record({
    original: fc.constantFrom(...originals),
    changes: fc.array(
      fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 255 })),
      {
        minLength: 1,
        maxLength: 6,
      },
    ),
    cut: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 5 }),
    splice: fc.option(fc.constantFrom("../", "/", "\0", "PK\x05\x06", "\\", "a/../"), { freq: 3 }),
  });

  it("refuses it with a reason or makes an ordinary tree, and touches nothing else", async () => {
    await using place = await makeDepotPlace();
    const before = await snapshot(`${place.dir}/neighbour`);
    await fc.assert(
      fc.asyncProperty(mutation, async ({ original, changes, cut, splice }) => {
        const bytes = Buffer.from(original);
        for (const [where, value] of changes) bytes[Math.floor(where * (bytes.length - 1))] = value;
        const where = changes[0]?.[0] ?? 0;
        if (splice) bytes.write(splice, Math.floor(where * (bytes.length - splice.length)), "latin1");
        const content = cut ? bytes.subarray(0, Math.floor(cut * bytes.length)) : bytes;
        try {
          const { treeId } = await place.upload(content);
          for (const line of await snapshot(await place.depot.openTree(treeId)))
            assert.match(line, /^[^\n]* (755|644)( [0-9a-f]{12})?$/);
        } catch (error) {
          assert.ok(error instanceof PlatformError && error.code === "InvalidArchive", String(error));
        }
        assert.deepEqual(await readdir(place.dir), ["depot", "neighbour"]);
        assert.deepEqual(await readdir(place.depotDir), ["archives", "staging", "trees"]);
        assert.deepEqual(await readdir(`${place.depotDir}/staging`), []);
        assert.deepEqual(await snapshot(`${place.dir}/neighbour`), before);
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 300) },
    );
  });
});
