import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { it } from "node:test";
import { makeFolder, startDaemon, type TestDaemon } from "./daemon.fake.ts";

const STREAMER = `
const chunk = Buffer.alloc(256 * 1024, "x");
const pause = (stream) => new Promise((resolve) => stream.once("drain", resolve));
export const handler = awslambda.streamifyResponse(async (event, stream) => {
  const mib = Number(event.queryStringParameters.mib);
  for (let sent = 0; sent < mib * 4; sent += 1) if (!stream.write(chunk)) await pause(stream);
  stream.end();
});
`;
/** Pieces of all sizes, from one byte on, no two alike. */
const CHUNKS = `function* chunksOf(mib) {
  let bytes = 0;
  for (let n = 1; bytes < mib * 1_048_576; n += 1) {
    const chunk = Buffer.alloc(1 + ((n * 7_919) % 300_000), String(n) + " ");
    bytes += chunk.length;
    yield chunk;
  }
}`;
const NUMBERED = `
import { createHash } from "node:crypto";
${CHUNKS}
export const handler = awslambda.streamifyResponse(async (event, stream) => {
  const hash = createHash("sha256");
  for (const chunk of chunksOf(Number(event.queryStringParameters.mib))) {
    hash.update(chunk);
    if (!stream.write(chunk)) await new Promise((resolve) => stream.once("drain", resolve));
  }
  stream.end(hash.digest("hex"));
});
`;
const chunksOf: (mib: number) => Iterable<Buffer> = new Function(`${CHUNKS}; return chunksOf`)();
const STREAMED_MIB = 160;
/** Garbage is collected now and then; the whole response would be far more. */
const SWING_MIB_MAX = 64;

function residentMib(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024;
}

it("a long streamed response takes no more memory than a short one, however slow its reader", async () => {
  await using daemon = await startDaemon();
  using folder = makeFolder({ "index.mjs": STREAMER });
  await daemon.deploy(folder.path, "stream", "--timeout", "120");

  const read = (mib: number, seen: () => void) => readStream(daemon, mib, seen);
  await read(32, () => undefined);
  const before = residentMib(daemon.pid);
  let most = before;
  const bytes = await read(STREAMED_MIB, () => {
    most = Math.max(most, residentMib(daemon.pid));
  });
  assert.equal(bytes, STREAMED_MIB * 1_048_576);
  assert.ok(most - before < SWING_MIB_MAX, `${before} MiB became ${most} MiB`);
});

it("a streamed response has the bytes that were written, of any size, while it is recorded as well", async () => {
  await using daemon = await startDaemon();
  using folder = makeFolder({ "index.mjs": NUMBERED });
  await daemon.deploy(folder.path, "stream", "--timeout", "120");
  await daemon.lambda("record", "on", "stream", "--sample", "100%");
  const hash = createHash("sha256");
  let said = "";
  const bytes = await readStream(daemon, 24, (chunk) => {
    said = Buffer.concat([Buffer.from(said, "latin1"), chunk])
      .subarray(-64)
      .toString("latin1");
    hash.update(chunk);
  });
  // Its last line is the hash of all before.
  assert.ok(bytes > 24 * 1_048_576, String(bytes));
  assert.equal(said.length, 64);
  const again = createHash("sha256");
  for (const chunk of chunksOf(24)) again.update(chunk);
  assert.equal(said, again.copy().digest("hex"));
  assert.equal(hash.digest("hex"), again.update(said).digest("hex"));
});

it("a streamed response may be as large as the setting says, and no larger", async () => {
  await using daemon = await startDaemon({ flags: ["--stream-max", "3"] });
  using folder = makeFolder({ "index.mjs": STREAMER });
  await daemon.deploy(folder.path, "stream", "--timeout", "120");
  assert.equal(await readStream(daemon, 3), 3 * 1_048_576);
  await assert.rejects(readStream(daemon, 4), /aborted/);
  assert.match((await daemon.lambda("logs", "stream")).stdout, /Function\.ResponseSizeTooLarge/);
});

/** How many bytes came; rejects for a response that is cut off. */
function readStream(
  daemon: TestDaemon,
  mib: number,
  seen: (chunk: Buffer) => void = () => undefined,
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const options = { host: "127.0.0.1", port: daemon.gatewayPort, path: `/?mib=${mib}`, agent: false };
  const sent = request({ ...options, headers: { host: "stream.localhost" } }, async (answer) => {
    try {
      let bytes = 0;
      for await (const chunk of answer) {
        bytes += chunk.byteLength;
        seen(chunk);
        // Slower than it is written: what is not read must wait where it is made.
        if (bytes % 16 === 0) await new Promise((again) => setImmediate(again));
      }
      resolve(bytes);
    } catch (error) {
      reject(error);
    }
  });
  sent.on("error", reject);
  sent.end();
  return promise;
}
