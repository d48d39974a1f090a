import { type IncomingMessage, request } from "node:http";
import { createFunction, zipOf } from "./client.ts";
import { ceilingRow, type Row } from "./measure.ts";
import { type Daemon, residentMib, startDaemon } from "./processes.ts";

const ROUNDS = 5;
const CALLS = 40;
const FIRST_BYTE_MS_MAX = 5;
/** Up and down: what is garbage is collected now and then. */
const SWING_MIB_MAX = 32;
const STREAMED_MIB = 1_024;
/** Before what is measured: it makes buffers that others use again. */
const WARM_UP_MIB = 128;

/** Writes when it writes, then so much. */
const STREAMER = `
const chunk = Buffer.alloc(256 * 1024, "x");
const pause = (stream) => new Promise((resolve) => stream.once("drain", resolve));
export const handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.setContentType("application/octet-stream");
  const mib = Number(event.queryStringParameters?.mib ?? 0);
  stream.write(String(performance.timeOrigin + performance.now()).padEnd(64));
  if (mib === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  for (let sent = 0; sent < mib * 4; sent += 1) if (!stream.write(chunk)) await pause(stream);
  stream.end();
});
`;

/** Responses that are read while they are being written. */
export async function measureStream(): Promise<Row[]> {
  // More than AWS allows, which is 200.
  await using daemon = await startDaemon(undefined, ["--stream-max", String(2 * STREAMED_MIB)]);
  const zip = await zipOf({ "index.mjs": { content: STREAMER } });
  await createFunction(daemon, { name: "stream", zip, runtime: "nodejs24.x", handler: "index.handler" });
  await readStream(daemon, 0);
  const late: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const rounds: number[] = [];
    for (let call = 0; call < CALLS; call++) rounds.push((await readStream(daemon, 0)).firstByteMs);
    late.push(rounds.sort((a, b) => a - b)[Math.floor(CALLS / 2)] ?? Number.NaN);
  }
  await readStream(daemon, WARM_UP_MIB);
  let least = Number.POSITIVE_INFINITY;
  let most = 0;
  const watch = setInterval(() => {
    const mib = residentMib(daemon.pid);
    least = Math.min(least, mib);
    most = Math.max(most, mib);
  }, 20);
  await readStream(daemon, STREAMED_MIB);
  clearInterval(watch);
  return [
    ceilingRow("streamed response: first byte after the first write, p50", "ms", late, FIRST_BYTE_MS_MAX),
    ceilingRow(
      "resident memory while one response of 1 GiB is streamed, ±",
      "MiB",
      [(most - least) / 2],
      SWING_MIB_MAX,
    ),
  ];
}

async function readStream(daemon: Daemon, mib: number): Promise<{ readonly firstByteMs: number }> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = request(
      {
        host: "127.0.0.1",
        port: daemon.gatewayPort,
        path: `/?mib=${mib}`,
        headers: { host: "stream.localhost" },
        agent: false,
      },
      resolve,
    );
    sent.on("error", reject);
    sent.end();
  });
  let firstByteMs = Number.NaN;
  let bytes = 0;
  for await (const chunk of answer) {
    if (bytes === 0) {
      firstByteMs = performance.timeOrigin + performance.now() - Number(chunk.subarray(0, 64).toString());
    }
    bytes += chunk.byteLength;
  }
  if (bytes !== mib * 1_048_576 + 64) throw new Error(`${bytes} bytes came of ${mib} MiB`);
  return { firstByteMs };
}
