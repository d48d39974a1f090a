import type { FunctionConfig } from "../core/function.ts";
import type { Log } from "../core/log.ts";
import type { ProtocolAdapter } from "../protocol/protocol.ts";
import { once } from "./once.ts";

/**
 * One adapter per protocol; handlers of runtimes that are ours are spoken to by frames, all others by the Runtime API.
 * Each is loaded when the first function needs it: the daemon's start is waited for, HTTP clients take their time to load.
 */
export function protocolAdapters(parts: {
  readonly accountId: string;
  readonly log: Log;
  readonly importSetsMax: number;
}): (config: FunctionConfig) => Promise<ProtocolAdapter> {
  const managed = once(async () => (await import("../protocol/lambda/managed.ts")).managedAdapter(parts));
  const runtimeApi = once(async () =>
    (await import("../protocol/lambda/runtime-api.ts")).runtimeApiAdapter({ accountId: parts.accountId }),
  );
  const http = once(async () => (await import("../protocol/http/adapter.ts")).httpAdapter());
  const stdio = once(async () => (await import("../protocol/stdio/adapter.ts")).stdioAdapter());
  return ({ entry, runtime }) => {
    switch (entry.kind) {
      case "handler":
        return /^(nodejs|python|ruby)/.test(runtime) ? managed() : runtimeApi();
      case "lifecycle":
      case "server":
        return http();
      case "filter":
        return stdio();
    }
  };
}
