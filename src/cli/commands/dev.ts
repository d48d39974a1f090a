import { resolve } from "node:path";
import { CliError } from "../cli-error.ts";
import { type ApiClient, newClient } from "../client.ts";
import type { Command } from "../command.ts";
import { ChangeGate, Overtaken } from "../dev/change-gate.ts";
import { DevActions } from "../dev/dev-actions.ts";
import { type DevDaemon, startDevDaemon } from "../dev/dev-daemon.ts";
import type { DevDebug } from "../dev/dev-debug.ts";
import type { DevSource } from "../dev/dev-function.ts";
import { type DevKeys, openDevKeys } from "../dev/dev-keys.ts";
import type { DevReport } from "../dev/dev-report.ts";
import { type DevScreen, openDevScreen } from "../dev/dev-screen.ts";
import { openDevSource } from "../dev/dev-source.ts";
import { type FolderWatch, openFolderWatch } from "../dev/folder-watch.ts";
import { followLogs } from "../dev/follow-logs.ts";
import type { DevProjectOptions } from "../dev/project-source.ts";
import { ReleaseLoop } from "../dev/release-loop.ts";
import { countOption, plural } from "../units.ts";

export interface DevOptions extends DevProjectOptions {
  readonly port?: string;
  readonly data?: string;
  /** True without a port. */
  readonly inspect?: string | true;
}

const PORT_DEFAULT = 8_080;
/** Node's own. */
const INSPECT_PORT_DEFAULT = 9_229;
/** What is looked at must neither stand still nor be stopped for being idle. */
const DEBUG_FLAGS = ["--freeze-after", "0", "--idle-timeout", "86400"];
const UNSETTLED_MS = 250;

/** The user has asked it to end, which is how it ends. */
class Asked extends Error {
  override readonly name = "Asked";
}

/** Runs the functions of a folder in a daemon of its own and makes every save a release, until it is interrupted. */
export async function dev(command: Command, path: string | undefined, options: DevOptions): Promise<void> {
  const { host, output } = command;
  const startedAt = performance.now();
  const port = options.port === undefined ? PORT_DEFAULT : countOption("--port", options.port);
  const ending = new AbortController();
  const end = () => ending.abort(new Asked());
  host.signal.addEventListener("abort", end);
  host.onEnd(end);

  // The daemon starts while the folder is looked at.
  const starting = startDevDaemon({
    dataDir: options.data === undefined ? undefined : resolve(host.workingDir, options.data),
    port,
    environment: host.env,
    flags: ["--allow-unsandboxed", ...(options.inspect === undefined ? [] : DEBUG_FLAGS)],
    onLog: (line) => sayLog(command, line),
    signal: ending.signal,
  });
  starting.catch(() => undefined);
  let source: DevSource;
  try {
    source = await openDevSource(path ?? ".", options, host);
  } catch (error) {
    await (await starting.catch(() => undefined))?.[Symbol.asyncDispose]();
    throw error;
  }
  try {
    await using daemon = await starting;
    await using debug = options.inspect === undefined ? undefined : await openDebug(options.inspect);
    const session = new DevSession(command, { daemon, source, debug, ending, startedAt });
    await session.run(port);
  } catch (error) {
    if (!(ending.signal.reason instanceof Asked)) throw error;
  }
  if (!output.isJson) output.note("stopped", "dim");
}

async function openDebug(inspect: string | true): Promise<DevDebug> {
  const port = inspect === true ? INSPECT_PORT_DEFAULT : countOption("--inspect", inspect, 1);
  return await (await import("../dev/dev-debug.ts")).openDevDebug(port);
}

interface SessionParts {
  readonly daemon: DevDaemon;
  readonly source: DevSource;
  /** Undefined where nobody debugs. */
  readonly debug: DevDebug | undefined;
  readonly ending: AbortController;
  /** Of `performance.now()`. */
  readonly startedAt: number;
}

class DevSession {
  readonly #command: Command;
  readonly #parts: SessionParts;
  readonly #api: ApiClient;
  readonly #screen: DevScreen;
  readonly #loop: ReleaseLoop;
  readonly #gate = new ChangeGate();
  readonly #followed = new Set<string>();
  /** The first instances log before their functions are followed. */
  readonly #begunAt = Date.now();
  #urls: Readonly<Record<string, string>> = {};

  constructor(command: Command, parts: SessionParts) {
    const { daemon, source, ending } = parts;
    this.#command = command;
    this.#parts = parts;
    const setting = (value: string) => ({ value, origin: "lambda dev" });
    this.#api = newClient({
      settings: {
        server: setting(daemon.controlUrl),
        key: setting(daemon.key),
        file: { path: "", exists: false },
      },
      signal: ending.signal,
      onTraffic: undefined,
    });
    this.#screen = openDevScreen(command.output, () => this.#loop.live);
    this.#loop = new ReleaseLoop({
      api: this.#api,
      project: source.project,
      read: () => source.read(),
      prepare: async (each) => (await parts.debug?.prepare(each)) ?? { function: each, files: [] },
      report: (line) => this.#report(line),
    });
  }

  /** Until the end is asked for. @throws CliError if the daemon dies. */
  async run(port: number): Promise<void> {
    const { daemon, source, ending } = this.#parts;
    const { host } = this.#command;
    const taken = daemon.taken.filter((each) => each >= port);
    if (taken.length > 0)
      this.#note(
        `port ${taken.join(", ")} ${taken.length === 1 ? "is" : "are"} in use: serving on ${daemon.gateway.port}`,
      );
    using watch = openFolderWatch(
      () => this.#gate.note(),
      () => this.#note("this system has no file watches left: looking for changes every half second instead"),
    );
    let keys: DevKeys | undefined;
    const actions = new DevActions({
      api: this.#api,
      screen: this.#screen,
      keys: () => keys ?? { ask: async () => undefined, [Symbol.dispose]: () => undefined },
      live: () => this.#loop.live,
      url: (name) => this.#urls[name],
    });
    keys = openDevKeys(host.stdin, host.stdout, (key) => this.#press(key, actions));
    try {
      this.#gate.note();
      const died = daemon.died.then((words) => {
        throw CliError.local(
          "ServerUnreachable",
          `lambdad has died: ${words}`,
          "run it again; -v shows its log",
        );
      });
      await Promise.race([this.#rounds(source, watch), died]);
    } finally {
      keys[Symbol.dispose]();
      ending.abort();
      await this.#screen.idle();
    }
  }

  async #rounds(source: DevSource, watch: FolderWatch): Promise<void> {
    const { signal } = this.#parts.ending;
    let isFirst = true;
    for (;;) {
      const change = await this.#gate.next({ signal });
      if (!change) return;
      try {
        // First the watches, then the look: what changes in between is seen by one of them.
        await watch.watch(source.watched);
        const startedAt = isFirst ? this.#parts.startedAt : change.startedAt;
        const { isUnsettled } = await this.#loop.round({ ...change, startedAt });
        if (isUnsettled) this.#gate.noteLater(UNSETTLED_MS);
        if (isFirst && !isUnsettled) {
          isFirst = false;
          await this.#welcome();
        }
      } catch (error) {
        if (!(error instanceof Overtaken)) throw error;
      }
    }
  }

  async #welcome(): Promise<void> {
    const { daemon, source, startedAt } = this.#parts;
    const tookMs = Math.round(performance.now() - startedAt);
    const { output, host } = this.#command;
    await this.#screen.idle();
    if (output.isJson) {
      const { gateway, controlUrl, key, dataDir } = daemon;
      await output.write(
        `${JSON.stringify({ type: "ready", project: source.project, gateway: gateway.origin, control: controlUrl, key, dataDir, functions: this.#urls, tookMs })}\n`,
      );
      return;
    }
    const names = Object.keys(this.#urls);
    const width = Math.max(0, ...names.map((name) => name.length));
    for (const name of names) this.#screen.say(`  ${name.padEnd(width)}  ${this.#urls[name]}`);
    const keys = host.stdin.isTTY ? " · i invoke, o open, l logs, r rebuild, ? more, q quit" : "";
    this.#screen.say(
      `${plural(names.length, "function")} ready after ${tookMs} ms, watching ${source.root}${keys}`,
    );
  }

  #report(line: DevReport): void {
    if (line.type === "live") {
      this.#urls = line.urls;
      for (const name of Object.keys(line.urls)) this.#follow(name);
    }
    const { debug } = this.#parts;
    const heard = line.type === "log" ? debug?.heard(line.function, line.text) : undefined;
    if (heard !== undefined && line.type === "log") this.#note(`${line.function}: ${heard}`);
    else if (line.type === "problem" && debug)
      this.#screen.show({ ...line, message: debug.withoutChatter(line.message) });
    else if (line.type !== "log" || debug?.withoutChatter(line.text) !== "" || line.text === "")
      this.#screen.show(line);
  }

  #follow(name: string): void {
    if (this.#followed.has(name)) return;
    this.#followed.add(name);
    const { signal } = this.#parts.ending;
    void followLogs(this.#api, name, this.#begunAt, (line) => this.#report(line), { signal });
  }

  #note(text: string): void {
    this.#screen.show({ type: "note", text });
  }

  #press(key: string, actions: DevActions): void {
    const failed = (error: unknown) => this.#screen.say(String(error), "red");
    switch (key.toLowerCase()) {
      case "i":
        actions.invoke().catch(failed);
        return;
      case "o":
        actions.open().catch(failed);
        return;
      case "l":
        this.#screen.say(
          this.#screen.toggleLogs() ? "logs are shown" : "logs are not shown: l shows them again",
          "dim",
        );
        return;
      case "r":
        this.#screen.say("building everything again", "dim");
        this.#gate.force();
        return;
      case "q":
      case "\u0003":
      case "\u0004":
        this.#parts.ending.abort(new Asked());
        return;
      case "?":
      case "h":
        this.#help();
        return;
      case "\r":
        this.#screen.say("");
        return;
    }
  }

  #help(): void {
    const { daemon } = this.#parts;
    this.#screen.say(
      [
        "i invoke   o open in a browser   l logs on and off   r build everything again   q quit",
        "the command line reaches this daemon in another terminal with:",
        `  export LAMBDA_SERVER=${daemon.controlUrl} LAMBDA_KEY=$(cat ${daemon.dataDir}/admin.key)`,
      ].join("\n"),
    );
  }
}

/** Of the daemon's log, what a developer must know: that functions are not isolated. */
function sayLog({ output }: Command, line: string): void {
  if (output.isVerbose) output.note(line, "dim");
  else if (line.includes('"functions are not isolated on this host"'))
    output.note("functions are not isolated on this machine: lambda doctor says what is missing", "yellow");
}
