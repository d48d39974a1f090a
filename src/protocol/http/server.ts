import { assert } from "../../core/assert.ts";
import type { SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import { programOf, withInterpreterOnPath } from "../command.ts";
import type { ResolvedRuntime } from "../protocol.ts";
import type { HttpProgram } from "./channel.ts";

/**
 * A program that listens on `$PORT`. Arguments may have `$PORT` in them, for programs that take the port only there
 * (`./app -port $PORT`); nothing else is replaced and no shell is involved. `HOST` asks programs that heed it to listen on
 * loopback only, since with `network: host` all else would be open to the network; in a network of its own the driver says where.
 */
export function serverProgram(
  command: readonly [string, ...string[]],
  runtime: ResolvedRuntime,
): HttpProgram {
  return {
    hasPort: true,
    closesIdleConnections: true,
    probe: undefined,
    launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch {
      assert(places.port !== undefined, "the driver gives a port where it is asked for");
      const port = String(places.port);
      const [program, ...args] = command;
      return {
        command: [
          programOf(program, places.codeDir),
          ...args.map((argument) => argument.replace(/\$PORT(?![A-Za-z0-9_])/g, port)),
        ],
        environment: {
          HOST: places.listenHost ?? "127.0.0.1",
          ...withInterpreterOnPath(environment, runtime),
          PORT: port,
        },
        workingDir: places.codeDir,
      };
    },
    open: (sandbox) => ({
      connect: () => sandbox.connect(),
      async [Symbol.asyncDispose]() {
        // The port closes with the sandbox.
      },
    }),
    address: (_call, input) => input,
  };
}
