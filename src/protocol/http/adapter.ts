import type { ProtocolAdapter } from "../protocol.ts";
import { HttpChannel } from "./channel.ts";
import { lifecycleProgram } from "./lifecycle.ts";
import { serverProgram } from "./server.ts";

/** For programs that speak HTTP: servers on a port of their own, and lifecycle modules in our Node runtime. */
export function httpAdapter(): ProtocolAdapter {
  return {
    open(version, runtime) {
      const { entry } = version.config;
      switch (entry.kind) {
        case "server":
          return new HttpChannel(serverProgram(entry.command, runtime));
        case "lifecycle":
          return new HttpChannel(lifecycleProgram(entry.module, version.config.slotsPerInstance, runtime));
        case "handler":
        case "filter":
          throw new TypeError(`a ${entry.kind} does not speak HTTP`);
      }
    },
  };
}
