/**
 * The process that starts sandboxes, so that the daemon never forks: that would stop its loop for as long as copying its
 * page tables takes. It has an IPC channel to the driver (messages.ts); its settings are its only argument, as JSON.
 *
 * When the channel closes, because the daemon closed it or died, everything that was started is killed and it exits.
 */
import { closeSync, readFileSync, rmSync } from "node:fs";
import { Server, Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleepFor } from "node:timers/promises";
import { type FoundHost, findAbilities, firstUid, INNER_UID, UIDS_PER_INSTANCE } from "./abilities.ts";
import type { Box, BoxParts, Jail } from "./box.ts";
import { type CgroupLayout, closeCgroups, openCgroups } from "./cgroups.ts";
import { leaveRunDir, removeLeftovers, takeOver } from "./leftovers.ts";
import type { FromSpawner, Given, SpawnerSettings, StartRequest, ToSpawner } from "./messages.ts";
import { askForShortSlices, DaemonPrecedence } from "./precedence.ts";
import { canUseReadyShell, discard, type ReadyShell, startBox, startReadyShell } from "./start-box.ts";
import { startFork } from "./start-fork.ts";
import { loadSyscalls, type Syscalls } from "./syscalls.ts";
import type { Zygote } from "./zygote.ts";
import { Zygotes } from "./zygotes.ts";

const CONNECT_MS_MAX = 1_000;

/** A megabyte each. More than one, since two starts often come together. */
const READY_SHELLS_MAX = 2;
const REFILL_MS = 20;

class Spawner {
  readonly #settings: SpawnerSettings;
  readonly #layout: CgroupLayout;
  readonly #syscalls: Syscalls | undefined;
  readonly #host: FoundHost;
  readonly #precedence: DaemonPrecedence | undefined;
  readonly #boxes = new Map<string, Box>();
  readonly #uids = new Set<number>();
  readonly #zygotes: Zygotes;
  #uidsGiven = 0;
  #ready: ReadyShell[] = [];
  #filling = 0;
  #isClosing = false;

  constructor(made: {
    readonly settings: SpawnerSettings;
    readonly layout: CgroupLayout;
    readonly syscalls: Syscalls | undefined;
    readonly host: FoundHost;
  }) {
    this.#settings = made.settings;
    this.#layout = made.layout;
    this.#syscalls = made.syscalls;
    this.#host = made.host;
    const daemon = { pid: made.settings.ownerPid, niceness: made.settings.ownerNiceness };
    this.#precedence = made.syscalls && new DaemonPrecedence(made.syscalls, daemon);
    this.#zygotes = new Zygotes({
      newParts: () => {
        const jail = this.#newJail();
        return jail && { parts: this.#parts(jail), jail };
      },
      ended: (uid) => this.#giveBack(uid),
      failed: (error) =>
        send({ type: "warned", message: `a runtime cannot be kept to fork from: ${sentence(error)}` }),
    });
  }

  async handle(message: ToSpawner): Promise<void> {
    switch (message.type) {
      case "start":
        return this.#start(message.request);
      case "attached":
        return this.#boxes.get(message.id)?.letGoOfPipes();
      case "specialise":
        return this.#specialise(message.id, message.given);
      case "kill":
        return this.#boxes.get(message.id)?.kill();
      case "release":
        return this.#release(message.id);
      case "connect":
        return this.#connect(message.id, message.call, message.port);
      case "terminate":
        return this.#boxes.get(message.id)?.terminate();
      case "find-client":
        return this.#findClient(message.call, message.clientPort, message.serverPort);
      case "put-first":
        this.#precedence?.putFirst(message.isFirst);
        return;
      case "close":
        await this.close();
        send({ type: "closed" });
        process.disconnect?.();
    }
  }

  /** Kills and removes everything. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#dropReady();
    for (const box of this.#boxes.values()) box.kill();
    await Promise.all([...this.#boxes.keys()].map((id) => this.#release(id)));
    await this.#zygotes[Symbol.asyncDispose]();
    closeCgroups(this.#layout);
    for (const name of ["etc", "filter.bpf"]) {
      rmSync(join(this.#settings.runDir, name), { recursive: true, force: true });
    }
    leaveRunDir(this.#settings.runDir);
  }

  /** Has shells ready for the next starts. Not at once after one: that is when its program wants the CPU. */
  prepare(afterMs: number): void {
    setTimeout(() => void this.#fill(), afterMs);
  }

  async #start(request: StartRequest): Promise<void> {
    let jail: Jail | undefined;
    try {
      const fork = request.forkFrom === null ? undefined : await this.#newFork(request);
      const ready = fork ? undefined : this.#takeReady(request);
      jail = fork?.jail ?? ready?.jail ?? this.#newJail();
      const parts = this.#parts(jail);
      const box = await (fork
        ? startFork(parts, fork.jail, request, fork.zygote)
        : startBox(parts, request, ready));
      this.#boxes.set(request.id, box);
      await sendStarted(request.id, box);
      void box.exited.then((exit) => send({ type: "exited", id: request.id, ...exit }));
    } catch (error) {
      this.#giveBack(jail?.user.kind === "host" ? jail.user.uid : null);
      send({ type: "failed", id: request.id, message: sentence(error) });
    }
    this.prepare(REFILL_MS);
  }

  async #newFork(
    request: StartRequest,
  ): Promise<{ readonly zygote: Zygote; readonly jail: Jail } | undefined> {
    const jail = this.#newJail();
    // Nobody waits for a sandbox that is for later.
    if (jail && request.codeDir === null) await this.#zygotes.prepare(this.#parts(jail), request);
    const zygote = jail && this.#zygotes.find(this.#parts(jail), request);
    if (zygote) return { zygote, jail };
    this.#giveBack(jail?.user.kind === "host" ? jail.user.uid : null);
    return undefined;
  }

  #takeReady(request: StartRequest): ReadyShell | undefined {
    const first = this.#ready[0];
    if (!first || !canUseReadyShell(this.#parts(first.jail), request)) return undefined;
    for (let shell = this.#ready.shift(); shell; shell = this.#ready.shift()) {
      if (shell.box.isAlive) return shell;
      void this.#drop(shell.box);
    }
    return undefined;
  }

  async #fill(): Promise<void> {
    while (!this.#isClosing && this.#ready.length + this.#filling < READY_SHELLS_MAX) {
      const jail = this.#newJail();
      if (!jail) return;
      this.#filling += 1;
      try {
        this.#ready.push(await startReadyShell(this.#parts(jail), jail));
      } catch {
        // The next start will say what is wrong.
        this.#giveBack(jail.user.kind === "host" ? jail.user.uid : null);
        return;
      } finally {
        this.#filling -= 1;
      }
    }
    if (this.#isClosing) await this.#dropReady();
  }

  async #dropReady(): Promise<void> {
    await Promise.all(this.#ready.splice(0).map((shell) => this.#drop(shell.box)));
  }

  async #drop(box: Box): Promise<void> {
    await discard(box);
    this.#giveBack(box.tracks.uid);
  }

  #giveBack(uid: number | null): void {
    if (uid !== null) this.#uids.delete(uid);
  }

  #parts(jail: Jail | undefined): BoxParts {
    return { runDir: this.#settings.runDir, layout: this.#layout, syscalls: this.#syscalls, jail };
  }

  #newJail(): Jail | undefined {
    const { jail, abilities } = this.#host;
    if (!jail) return undefined;
    if (abilities.mode !== "root") return { ...jail, user: { kind: "namespace", uid: INNER_UID } };
    return { ...jail, user: { kind: "host", uid: this.#claimUid() } };
  }

  /** Round robin, so that a user that was just given up is not somebody else at once. The last one is for probes. */
  #claimUid(): number {
    const first = firstUid(this.#settings.instanceName);
    for (let tries = 0; tries < UIDS_PER_INSTANCE - 1; tries += 1) {
      this.#uidsGiven = (this.#uidsGiven + 1) % (UIDS_PER_INSTANCE - 1);
      const uid = first + this.#uidsGiven;
      if (this.#uids.has(uid)) continue;
      this.#uids.add(uid);
      return uid;
    }
    throw new Error(
      `${UIDS_PER_INSTANCE - 1} sandboxes are running, which is as many as there are users for`,
    );
  }

  #specialise(id: string, given: Given): void {
    const box = this.#boxes.get(id);
    try {
      if (!box) throw new Error(`there is no sandbox ${id}`);
      box.giveCode(given);
    } catch (error) {
      send({ type: "specialised", id, problem: sentence(error) });
      return;
    }
    // What it may take until then is less than what it may take from then on, so the program need not wait for that.
    send({ type: "specialised", id, problem: null });
    try {
      box.settle(given);
    } catch {
      // Its groups are gone with it, or it would run without its limits.
      box.kill();
    }
  }

  async #release(id: string): Promise<void> {
    const box = this.#boxes.get(id);
    if (box) {
      await box.exited;
      await box.release();
      this.#boxes.delete(id);
      this.#giveBack(box.tracks.uid);
    }
    send({ type: "released", id });
  }

  #findClient(call: number, clientPort: number, serverPort: number): void {
    let uid: number | undefined;
    try {
      uid = this.#syscalls?.findTcpSocket(clientPort, serverPort)?.uid;
    } catch {
      // A kernel without that; the driver asks elsewhere.
    }
    send({ type: "found-client", call, uid: uid ?? null });
  }

  async #connect(id: string, call: number, port: number): Promise<void> {
    try {
      const network = this.#boxes.get(id)?.network;
      const syscalls = this.#syscalls;
      if (!network || !syscalls) throw new Error(`sandbox ${id} has no network that can be entered`);
      const fd = network.inside(() => syscalls.connectToLoopback(port));
      await untilConnected(syscalls, fd);
      // Not readable: what the program says is for whoever gets the socket, and must not be read here.
      send({ type: "connected", call }, new Socket({ fd, readable: false, writable: true }));
    } catch (error) {
      send({ type: "refused", call, message: sentence(error) });
    }
  }
}

async function untilConnected(syscalls: Syscalls, fd: number): Promise<void> {
  try {
    const giveUpAt = performance.now() + CONNECT_MS_MAX;
    // On a loopback it is done at once, unless the program's queue of connections is full.
    for (let waitMs = 1; !syscalls.isConnected(fd); waitMs *= 2) {
      if (performance.now() > giveUpAt) throw new Error(`no connection within ${CONNECT_MS_MAX} ms`);
      await sleepFor(waitMs);
    }
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

async function sendStarted(id: string, box: Box): Promise<void> {
  const message: FromSpawner = { type: "started", id, tracks: box.tracks };
  if (box.listenerFd === undefined) return send(message);
  const listener = new Server();
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen({ fd: box.listenerFd }, resolve);
  });
  // The driver has its own descriptor by the time the callback comes.
  send(message, listener, () => listener.close());
}

function send(message: FromSpawner, handle?: Socket | Server, sent?: () => void): void {
  // Nobody there any more: the channel's end is dealt with where it is noticed.
  process.send?.(message, handle, undefined, () => sent?.());
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function openSpawner(settings: SpawnerSettings): Promise<{ spawner: Spawner; host: FoundHost }> {
  await takeOver(settings.runDir, settings.ownerPid);
  const layout = openCgroups({
    instanceName: settings.instanceName,
    mountinfo: readText("/proc/self/mountinfo"),
    ownGroups: readText("/proc/self/cgroup"),
    isRoot: process.getuid?.() === 0,
  });
  const syscalls = await loadSyscalls();
  await removeLeftovers(settings.runDir, layout, syscalls);
  syscalls?.keepDescriptors();
  if (syscalls) askForShortSlices(syscalls);
  const host = await findAbilities({ settings, layout, syscalls });
  return { spawner: new Spawner({ settings, layout, syscalls, host }), host };
}

/** Empty where there is no such file: not Linux. */
function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

// The terminal and the service manager signal whole groups; when to stop is the daemon's decision.
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => undefined);

const opening = openSpawner(JSON.parse(process.argv[2] ?? "{}"));

process.on("message", (message: ToSpawner) => {
  void opening.then(({ spawner }) => spawner.handle(message)).catch(fail);
});

process.on("disconnect", () => {
  void opening.then(({ spawner }) => spawner.close()).finally(() => process.exit(0));
});

opening.then(({ spawner, host }) => {
  send({ type: "ready", host: host.abilities });
  spawner.prepare(0);
}, fail);

function fail(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(1);
}
