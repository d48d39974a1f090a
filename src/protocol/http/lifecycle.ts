import { join } from "node:path";
import { assert } from "../../core/assert.ts";
import type { InvocationOutcome } from "../../core/invocation.ts";
import { InitFailed, type ResolvedRuntime } from "../protocol.ts";
import type { HttpProgram } from "./channel.ts";
import { DialledIn } from "./dialled-in.ts";
import { filterHeaders } from "./hop-by-hop.ts";

const SOCKET = "run.sock";
/** Headers that begin so are between this file and `runtimes/nodejs/lifecycle.mjs`; a client's are removed. */
const PRIVATE = "lambdad-";
/** Beyond one per slot, for those that are being closed. */
const CONNECTIONS_SPARE = 8;
const INVOCATION_ID = "lambdad-invocation-id";

/**
 * A module with `init`, `start`, `run` and `stop`, run by `runtimes/nodejs/lifecycle.mjs`. That connects to a Unix socket of
 * ours when `init` is over, well or not: the first request asks how it went and gets 204, or 500 with the error as JSON.
 * Every other request is for `run` and names its invocation in a header that the module does not get to see.
 */
export function lifecycleProgram(module: string, slots: number, runtime: ResolvedRuntime): HttpProgram {
  const { interpreter } = runtime;
  assert(interpreter, "lifecycle modules need an interpreter");
  return {
    hasPort: false,
    closesIdleConnections: false,
    launch: (places, environment) => ({
      command: [interpreter, "--enable-source-maps", join(places.runtimeDir, "lifecycle.mjs")],
      environment: {
        ...environment,
        LAMBDA_TASK_ROOT: places.codeDir,
        _LAMBDA_TELEMETRY_LOG_FD: "3",
        LAMBDAD_LIFECYCLE_MODULE: module,
        LAMBDAD_LIFECYCLE_SLOTS: String(slots),
        LAMBDAD_LIFECYCLE_SOCKET: join(places.socketDir, SOCKET),
      },
      workingDir: places.codeDir,
    }),
    open: (sandbox) => new DialledIn(join(sandbox.socketDir, SOCKET), slots + CONNECTIONS_SPARE),
    probe: {
      request: {
        kind: "request",
        method: "GET",
        path: "/",
        rawHeaders: ["lambdad-probe", "init"],
        body: undefined,
      },
      judge: failureOf,
    },
    address: (call, input) => ({
      ...input,
      rawHeaders: [
        INVOCATION_ID,
        call.invocationId,
        ...filterHeaders(input.rawHeaders, (name) => !name.startsWith(PRIVATE)),
      ],
    }),
  };
}

function failureOf(outcome: InvocationOutcome): InitFailed | undefined {
  if (outcome.kind === "returned" && outcome.head?.kind === "http" && outcome.head.status === 204) {
    return undefined;
  }
  const payload = "payload" in outcome ? outcome.payload : new Uint8Array();
  return new InitFailed(payload, errorTypeIn(payload));
}

function errorTypeIn(payload: Uint8Array): string {
  try {
    const { errorType } = JSON.parse(Buffer.from(payload).toString("utf8"));
    if (typeof errorType === "string") return errorType;
  } catch {
    // Whatever it is, it came from hostile code.
  }
  return "Runtime.Unknown";
}
