import { readConfig } from "./config/config.ts";
import { configHelp } from "./config/config-keys.ts";
import { isPlatformError } from "./core/errors.ts";
import { jsonLog } from "./core/log.ts";
import { startServer } from "./server.ts";
import { version } from "./wiring/host.ts";

/** Exit codes: 0 stopped as asked, 1 a part of the daemon died, 2 it could not start as configured. */
async function main(): Promise<number> {
  const read = readConfig(process.argv.slice(2), process.env);
  if (read.kind === "help") process.stdout.write(configHelp());
  if (read.kind === "version") process.stdout.write(`${version()}\n`);
  if (read.kind !== "config") return 0;

  // Whoever reads our lines may go; the functions stay.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const log = jsonLog((line) => process.stderr.write(line), read.config.logLevel);
  const stop = untilSignal();
  await using server = await startServer({ config: read.config, environment: process.env, log });
  process.stdout.write(`ready gateway=${server.gatewayUrl} control=${server.controlUrl}\n`);
  log.info("serving", {
    gateway: server.gatewayUrl,
    control: server.controlUrl,
    dataDir: read.config.dataDir,
  });
  globalThis.lambdadServes?.();
  const signal = await Promise.race([stop, server.failed]);
  log.info("stopping; running calls may end", { signal });
  return 0;
}

/** The first signal asks for an orderly stop; who sends a second one does not want to wait. */
function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let isAsked = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (isAsked) process.exit(130);
      isAsked = true;
      resolve(signal);
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  });
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    if (isPlatformError(error)) {
      for (const line of error.message.split("\n")) process.stderr.write(`lambdad: ${error.code}: ${line}\n`);
      process.exit(2);
    }
    process.stderr.write(`lambdad: ${error instanceof Error ? (error.stack ?? error.message) : error}\n`);
    process.exit(1);
  },
);
