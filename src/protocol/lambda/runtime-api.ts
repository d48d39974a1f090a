import type { Duplex } from "node:stream";
import { assert } from "../../core/assert.ts";
import type { ImageRef, Version } from "../../core/function.ts";
import type { Call, InvocationOutcome, SandboxExit } from "../../core/invocation.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import { DOTNET_DEFAULTS, dotnetCommand } from "../dotnet.ts";
import { javaCommand } from "../java.ts";
import {
  type Channel,
  type ChannelFailure,
  InitFailed,
  type ProtocolAdapter,
  type ShutdownReason,
  type TelemetrySink,
} from "../protocol.ts";
import { untilAborted } from "../until-aborted.ts";
import { ExtensionHost } from "./extension-host.ts";
import { findReadyBootstrap } from "./ready-bootstrap.ts";
import { RuntimeApiServer } from "./runtime-api-server.ts";
import { RuntimeApiSession } from "./runtime-api-session.ts";
import { platformError } from "./runtime-api-wire.ts";
import { libraryPath, programPath } from "./search-paths.ts";

/** For any executable that polls the Runtime API: `provided.*`, whatever it is written in, Java with AWS's client, .NET with AWS's library. */
export function runtimeApiAdapter(parts: { readonly accountId: string }): ProtocolAdapter {
  return {
    open: (version, { interpreter }, externals = []) =>
      new RuntimeApiChannel({ ...parts, version, interpreter, externals }),
    readyKind: (version) =>
      /^(java|dotnet)/.test(version.config.runtime)
        ? undefined
        : findReadyBootstrap(
            version,
            (version) => new RuntimeApiChannel({ ...parts, version, interpreter: undefined, externals: [] }),
          ),
  };
}

const NOT_EXECUTABLE = 206;
const NOT_FOUND = 207;

/**
 * Becomes the bootstrap, from where Lambda looks for it, or the program that the handler names, as go1.x had it. Only inside the sandbox can be seen what is there, and a shell
 * looks in half a millisecond. Its exit codes are not such as programs use.
 */
const START_BOOTSTRAP = `
for file in "$1/bootstrap" "$2/bootstrap" "$1/$_HANDLER"; do
  if [ -f "$file" ]; then
    if [ -x "$file" ]; then exec "$file"; fi
    exit ${NOT_EXECUTABLE}
  fi
done
exit ${NOT_FOUND}
`;

class RuntimeApiChannel implements Channel {
  readonly hasInput: boolean;
  readonly hasPort = false;
  readonly isReusable = true;
  readonly ready: Promise<void>;
  readonly failed: Promise<ChannelFailure>;
  readonly telemetry: TelemetrySink;
  readonly onRuntimeApiConnection: (socket: Duplex) => void;
  readonly #handler: string;
  readonly #image: ImageRef | undefined;
  /** Java or .NET. */
  readonly #interpreter: string | undefined;
  readonly #memoryMib: number;
  readonly #isDotnet: boolean;
  readonly #session: RuntimeApiSession;
  readonly #server: RuntimeApiServer;
  readonly #extensions: ExtensionHost;
  readonly #fail: (failure: InitFailed) => void;

  constructor(parts: {
    readonly version: Version;
    readonly interpreter: string | undefined;
    readonly accountId: string;
    readonly externals: readonly string[];
  }) {
    const { entry } = parts.version.config;
    assert(entry.kind === "handler", `the Runtime API is for handlers, not for a ${entry.kind}`);
    this.#handler = entry.handler;
    this.#image = parts.version.code.image;
    this.#interpreter = parts.interpreter;
    this.#memoryMib = parts.version.config.memoryMib;
    this.#isDotnet = parts.version.config.runtime.startsWith("dotnet");
    const failure = Promise.withResolvers<never>();
    this.#fail = failure.reject;
    const extensions = new ExtensionHost(parts);
    this.#extensions = extensions;
    this.hasInput = extensions.hasInput;
    this.failed = extensions.failed;
    this.telemetry = extensions.telemetry;
    this.ready = Promise.race([extensions.ready, failure.promise]);
    // Whoever awaits it sees the failure; if nobody does, it must not end the daemon.
    this.ready.catch(() => undefined);
    this.#session = new RuntimeApiSession({
      ready: () => extensions.runtimeReady(),
      initFailed: failure.reject,
    });
    this.#server = new RuntimeApiServer(this.#session, extensions);
    this.onRuntimeApiConnection = (socket) => this.#server.accept(socket);
  }

  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch {
    assert(places.runtimeApi !== undefined, "the driver offers a Runtime API where it is asked for");
    // With it, aws-lambda-go would speak the RPC of the retired go1.x runtime instead.
    const { _LAMBDA_SERVER_PORT: _unset, ...rest } = environment;
    const { runtimeApi: AWS_LAMBDA_RUNTIME_API } = places;
    // An image is started as it says itself. Finding the Runtime API, AWS's `/lambda-entrypoint.sh` starts the bootstrap
    // and not the emulator.
    if (this.#image) {
      return this.#extensions.launch(places, {
        command: this.#image.command,
        environment: { ...rest, AWS_LAMBDA_RUNTIME_API, _HANDLER: this.#handler },
        workingDir: this.#image.workingDir,
      });
    }
    return this.#extensions.launch(places, {
      command: this.#command(places),
      environment: {
        LD_LIBRARY_PATH: libraryPath(places),
        ...(this.#isDotnet && DOTNET_DEFAULTS),
        ...rest,
        ...(rest.PATH !== undefined && { PATH: programPath(rest.PATH, places) }),
        AWS_LAMBDA_RUNTIME_API,
        _HANDLER: this.#handler,
        LAMBDA_TASK_ROOT: places.codeDir,
        LAMBDA_RUNTIME_DIR: "/var/runtime",
        _LAMBDA_TELEMETRY_LOG_FD: "3",
      },
      workingDir: places.codeDir,
    });
  }

  #command({ codeDir, optDir = "/opt" }: SandboxPlaces): readonly [string, ...string[]] {
    if (this.#interpreter === undefined) {
      return ["/bin/sh", "-c", START_BOOTSTRAP, "bootstrap", codeDir, optDir];
    }
    if (this.#isDotnet) return dotnetCommand(this.#interpreter, codeDir, this.#handler);
    const options = { handler: this.#handler, memoryMib: this.#memoryMib };
    return javaCommand(this.#interpreter, { codeDir, optDir }, options);
  }

  attach(sandbox: Sandbox): void {
    this.#extensions.attach(sandbox);
    this.#session.watchExit(sandbox.exited);
    void sandbox.exited.then((exit) => {
      const isBootstrap = this.#image === undefined && this.#session.state === "Started";
      const reason = isBootstrap ? this.#badEntrypoint(exit, sandbox.places.codeDir) : undefined;
      const errorType = "Runtime.InvalidEntrypoint";
      if (reason) this.#fail(new InitFailed(platformError(errorType, `Error: ${reason}`), errorType));
    });
  }

  #badEntrypoint(exit: SandboxExit, codeDir: string): string | undefined {
    if (this.#interpreter === undefined) return badEntrypoint(exit, codeDir);
    // It returned at once, or .NET did not find the assembly or what it needs; those codes begin at 0x80 (128).
    const { exitCode } = exit;
    if (this.#isDotnet) return exitCode === 0 || (exitCode ?? 0) > 128 ? NO_DOTNET_SUPPORT : undefined;
    // What the JVM exits with when it cannot find its main class.
    return exitCode === 1 ? NO_JAVA_CLIENT : undefined;
  }

  async invoke(call: Call, { signal }: { readonly signal: AbortSignal }): Promise<InvocationOutcome> {
    assert(call.input.kind === "event", "a handler is invoked with an event");
    signal.throwIfAborted();
    this.#extensions.invoke(call);
    return untilAborted(this.#session.hand(call, signal), signal);
  }

  async idle(): Promise<void> {
    await this.#session.idle();
    await this.#extensions.idle();
  }

  sort(line: string) {
    return this.#extensions.sort(line);
  }

  async shutDown(reason: ShutdownReason): Promise<void> {
    await this.#extensions.shutDown(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#extensions[Symbol.asyncDispose]();
    await this.#server[Symbol.asyncDispose]();
  }
}

const NO_JAVA_CLIENT =
  "Java left before it asked for an event; its log says why. The code, or java/lib of a layer, has to have aws-lambda-java-runtime-interface-client among the jars of its lib folder";

const NO_DOTNET_SUPPORT =
  "the assembly left before it asked for an event; its log says why. It has to be an executable (OutputType Exe) that runs Amazon.Lambda.RuntimeSupport's LambdaBootstrap";

/** Why no bootstrap ran; undefined if one did. 126 and 127 are what a shell exits with when `exec` fails. */
function badEntrypoint({ exitCode }: SandboxExit, codeDir: string): string | undefined {
  switch (exitCode) {
    case NOT_FOUND:
      return `no bootstrap: neither ${codeDir}/bootstrap nor /opt/bootstrap exists; put the program there under that name`;
    case NOT_EXECUTABLE:
      return `the bootstrap in ${codeDir} is not executable; run chmod +x bootstrap and keep the mode when packing it`;
    case 126:
    case 127:
      return `the bootstrap in ${codeDir} left with exit status ${exitCode} before it asked for an event; check that the interpreter in its first line exists and that it was built for this machine`;
    default:
      return undefined;
  }
}
