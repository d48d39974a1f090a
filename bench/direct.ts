/**
 * The yardstick of a warm call: the handler's own process, called by the same frames, with nothing before it: no gateway, no
 * HTTP, no admission, no pool, no records. `node bench/direct.ts FOLDER CALLS` prints the quantiles as JSON.
 */
import { join } from "node:path";
import { newInvocationId } from "../src/core/ids.ts";
import { STREAMED_RESPONSE_BYTES_MAX } from "../src/core/limits.ts";
import { silentLog } from "../src/core/log.ts";
import { managedAdapter } from "../src/protocol/lambda/managed.ts";
import { startTestSandbox, testVersion } from "../src/protocol/test-sandbox.fake.ts";

const [codeDir = "", calls = "1000"] = process.argv.slice(2);
const runtimeDir = join(import.meta.dirname, "..", "runtimes", "nodejs");
const adapter = managedAdapter({ log: silentLog, accountId: "000000000000" });
const version = testVersion({ kind: "handler", handler: "index.handler" }, { runtime: "nodejs24.x" });
const channel = adapter.open(version, { interpreter: process.execPath, runtimeDir, toolDirs: [] });
const sandbox = await startTestSandbox(channel, { codeDir, runtimeDir });
for (const stream of [sandbox.stdout, sandbox.stderr, sandbox.telemetry]) stream.resume();
channel.attach(sandbox);
await channel.ready;

const payload = Buffer.from(JSON.stringify({ queryStringParameters: { name: "World" } }));
const { signal } = new AbortController();
const took: number[] = [];
const warmUp = Math.round(Number(calls) / 4);
for (let count = 0; count < Number(calls) + warmUp; count += 1) {
  const startedAt = performance.now();
  const outcome = await channel.invoke(
    {
      invocationId: newInvocationId(),
      input: { kind: "event", payload, contentType: "application/json" },
      functionArn: "arn:aws:lambda:us-east-1:000000000000:function:greet",
      deadlineAt: Date.now() + 60_000,
      traceId: undefined,
      clientContext: undefined,
      sink: undefined,
      streamBytesMax: STREAMED_RESPONSE_BYTES_MAX,
    },
    { signal },
  );
  if (outcome.kind !== "returned") throw new Error(`the call ended with ${outcome.kind}`);
  // An HTTP client's next call comes with a turn of its loop, not within the last one's.
  if (count >= warmUp) took.push((performance.now() - startedAt) * 1_000);
  await channel.idle();
  await new Promise((resolve) => setImmediate(resolve));
}
took.sort((a, b) => a - b);
const at = (share: number) => took[Math.floor(took.length * share)];
process.stdout.write(`${JSON.stringify({ p50Us: at(0.5), p99Us: at(0.99) })}\n`);
await sandbox[Symbol.asyncDispose]();
await channel[Symbol.asyncDispose]();
