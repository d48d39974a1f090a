import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Server, Socket } from "node:net";
import { PlatformError } from "../../core/errors.ts";
import { moduleFile } from "../../core/source-url.ts";
import type { BridgeSide, Endpoint } from "./bridge-side.ts";
import type { FoundNamespace } from "./find-namespace.ts";
import type { FromAgent, ToAgent } from "./namespace-messages.ts";

const AGENT = moduleFile("sandbox/docker/namespace-agent");
/** Users' paths lack what is for administrators, and the lock of this host's rules is root's. */
const RULES_ENVIRONMENT = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "XTABLES_LOCKFILE=/dev/null"];
const ANSWER_MS_MAX = 10_000;
const SAID_MAX = 2_000;

/**
 * The side of a rootless engine: its bridges are in a network namespace of its user, which whoever may trace that user's
 * processes can enter. A helper process does; listeners and connections come from it as handles, so that it is
 * in nobody's way once they are open.
 *
 * @throws PlatformError `EngineUnavailable` if the namespace cannot be entered.
 */
export async function enterNamespace(found: FoundNamespace): Promise<BridgeSide> {
  // As the user that we are, so that our own files stay readable; listening takes no more.
  const [program, args] = nsenter(found, ["--preserve-credentials"], process.execPath, [AGENT]);
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe", "ipc"], env: {} });
  const agent = new Agent(child);
  try {
    await agent.up();
  } catch (cause) {
    await agent[Symbol.asyncDispose]();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PlatformError(
      "EngineUnavailable",
      `the network of the rootless container engine cannot be entered: ${why}; run lambdad as the engine's user, with nsenter (apt install util-linux)`,
      { cause },
    );
  }
  return {
    isHere: false,
    lost: agent.gone,
    listen: async (address) => {
      const handle = await agent.ask("listen", address);
      if (handle instanceof Server) return handle;
      throw new TypeError("the agent sent no listener");
    },
    connect: async (to) => {
      const handle = await agent.ask("connect", to);
      if (handle instanceof Socket) return handle.setNoDelay(true);
      throw new TypeError("the agent sent no connection");
    },
    // As that user namespace's root, who may change the rules of its network.
    command: (inner, innerArgs) => nsenter(found, [], "env", [...RULES_ENVIRONMENT, inner, ...innerArgs]),
    [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose](),
  };
}

function nsenter(
  { user, network }: FoundNamespace,
  flags: readonly string[],
  program: string,
  args: readonly string[],
): readonly [string, readonly string[]] {
  return ["nsenter", [...flags, `--user=${user}`, `--net=${network}`, "--", program, ...args]];
}

class Agent implements AsyncDisposable {
  readonly gone: Promise<void>;
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, PromiseWithResolvers<Server | Socket | undefined>>();
  readonly #isUp = Promise.withResolvers<void>();
  #last = 0;
  #said = "";

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#isUp.promise.catch(() => undefined);
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-SAID_MAX);
    });
    child.on("message", (message: FromAgent, handle) => {
      const isOurs = handle instanceof Server || handle instanceof Socket;
      this.#hear(message, isOurs ? handle : undefined);
    });
    // Neither keeps the daemon from ending.
    child.unref();
    child.channel?.unref?.();
    this.gone = new Promise((resolve) => {
      const end = (error: Error) => {
        this.#isUp.reject(error);
        for (const { reject } of this.#asked.values()) reject(error);
        this.#asked.clear();
        resolve();
      };
      child.once("error", end);
      child.once("close", () => end(new Error(this.#said.trim() || "the agent ended")));
    });
  }

  async up(): Promise<void> {
    const late = setTimeout(() => this.#isUp.reject(new Error("it takes too long")), ANSWER_MS_MAX);
    await this.#isUp.promise.finally(() => clearTimeout(late));
  }

  ask(type: ToAgent["type"], { address, port }: Endpoint): Promise<Server | Socket | undefined> {
    this.#last += 1;
    const id = this.#last;
    const answer = Promise.withResolvers<Server | Socket | undefined>();
    if (!this.#child.connected) return Promise.reject(new Error("the agent has gone"));
    this.#asked.set(id, answer);
    const message: ToAgent = { type, id, address, port };
    this.#child.send(message, () => undefined);
    return answer.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined)
      return;
    const exited = once(this.#child, "exit");
    this.#child.ref();
    this.#child.kill("SIGKILL");
    await exited;
  }

  #hear(message: FromAgent, handle: Server | Socket | undefined): void {
    if (message.type === "up") {
      this.#isUp.resolve();
      return;
    }
    const answer = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    if (message.type === "done") answer?.resolve(handle);
    else answer?.reject(Object.assign(new Error(message.message), { code: message.code }));
  }
}
