/**
 * Sandboxes for any executable that are started before it is known which: a shell inside waits for the command line that
 * it becomes. It comes on its stdin as one line of shell text, in which every word is quoted; the program's own stdin is empty.
 */
import type { Duplex } from "node:stream";
import type { Version } from "../../core/function.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import type { Channel, ReadyChannel, ReadyKind } from "../protocol.ts";

/** A line end stands in the variable, since the whole has to be one line. */
const WAIT = `
nl='
'
echo
IFS= read -r orders && eval "$orders"
`;

/** Enough for a shell. */
const READY_MIB = 64;

/** Undefined for versions that come with more than their program: images, extensions. */
export function findReadyBootstrap(
  version: Version,
  open: (version: Version) => Channel,
): ReadyKind | undefined {
  if (version.code.image || version.config.layers.length > 0) return undefined;
  return { key: "bootstrap", memoryMib: READY_MIB, open: () => new ReadyBootstrap(open) };
}

class ReadyBootstrap implements ReadyChannel {
  readonly hasInput = true;
  readonly onRuntimeApiConnection: (socket: Duplex) => void;
  readonly isWaiting: Promise<void>;
  readonly #open: (version: Version) => Channel;
  readonly #waits = Promise.withResolvers<void>();
  #sandbox: Sandbox | undefined;
  #channel: Channel | undefined;
  #orders = "";

  constructor(open: (version: Version) => Channel) {
    this.#open = open;
    this.isWaiting = this.#waits.promise;
    // The shell connects to nothing.
    this.onRuntimeApiConnection = (socket) =>
      this.#channel?.onRuntimeApiConnection ? this.#channel.onRuntimeApiConnection(socket) : socket.destroy();
  }

  launch(_places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch {
    return { command: ["/bin/sh", "-c", WAIT], environment, workingDir: "/" };
  }

  attach(sandbox: Sandbox): void {
    this.#sandbox = sandbox;
    const { stdout } = sandbox;
    // Its empty line is not the function's.
    const shown = () => {
      if (stdout.read() === null) return;
      stdout.off("readable", shown);
      this.#waits.resolve();
    };
    stdout.on("readable", shown);
  }

  become(version: Version, environment: Readonly<Record<string, string>>): Channel {
    if (!this.#sandbox) throw new Error("only what runs in a sandbox can become a function");
    const channel = this.#open(version);
    this.#orders = ordersFor(channel.launch(this.#sandbox.places, environment));
    channel.attach(this.#sandbox);
    this.#channel = channel;
    return channel;
  }

  load(): void {
    // If the shell has gone, its exit says so.
    this.#sandbox?.stdin?.on("error", () => undefined).end(`${this.#orders}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#channel?.[Symbol.asyncDispose]();
  }
}

/** Pure: what the waiting shell is told. `env` gives the program exactly what it is to have. */
export function ordersFor({ command, environment, workingDir }: SandboxLaunch): string {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const words = ["/usr/bin/env", "-i", ...variables, ...command].map(quote);
  return `cd ${quote(workingDir)} && exec ${words.join(" ")} </dev/null`;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`).replaceAll("\n", `'"$nl"'`)}'`;
}
