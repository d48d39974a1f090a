/**
 * Packs: what every start of a version would otherwise do anew (find modules, read and compile them), done once when it is
 * deployed, by a program of its runtime in a sandbox like its own, which runs none of its code. Behind everything else, one at a
 * time, and never needed: a start that finds no pack does without.
 */
import { readdir } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { CodeDepot } from "../code/depot.ts";
import type { PackStore } from "../code/pack-store.ts";
import type { Clock } from "../core/clock.ts";
import type { FunctionConfig, FunctionRecord, Version } from "../core/function.ts";
import { type FunctionName, newSandboxId } from "../core/ids.ts";
import { PIDS_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import type { Packer, ProtocolAdapter, ResolvedRuntime } from "../protocol/protocol.ts";
import type { Driver } from "../sandbox/driver.ts";
import { BASE_ENVIRONMENT } from "./environment.ts";
import { Semaphore } from "./semaphore.ts";

export interface PacksParts {
  readonly driver: Driver;
  readonly depot: Pick<CodeDepot, "openTree">;
  readonly store: PackStore;
  readonly resolveRuntime: (config: FunctionConfig) => Promise<ResolvedRuntime>;
  readonly adapterOf: (config: FunctionConfig) => Promise<ProtocolAdapter>;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is new is likely to be called at once, and that comes first. */
const AFTER_CHANGE_MS = 250;
const PACK_MS_MAX = 60_000;
const PACK_BYTES_MAX = 16 * 1024 * 1024;
const MEMORY_MIB = 512;
const TMP_MIB = 16;
/** Less than this is read faster than a pack is. */
const SOURCE_FILES_MIN = 3;

interface Making {
  readonly version: Version;
  readonly runtime: ResolvedRuntime;
  readonly packer: Packer;
  readonly key: string;
}

export class Packs implements AsyncDisposable {
  readonly #parts: PacksParts;
  readonly #inTurn = new Semaphore(1);
  readonly #stopping = new AbortController();
  /** Those that are being made, or could not be. */
  readonly #tried = new Set<string>();
  readonly #work = new Set<Promise<void>>();

  constructor(parts: PacksParts) {
    this.#parts = parts;
  }

  /** To be told of each change. */
  functionChanged(_name: FunctionName, record: FunctionRecord | undefined): void {
    if (record) this.#inBackground(() => this.#expect(record.latest));
  }

  /**
   * The pack of the version, if there is one by now; if not, it is made for the starts after this one. Never rejects; undefined
   * if it is known that there is none.
   */
  find(
    version: Version,
    parts: { readonly adapter: ProtocolAdapter; readonly runtime: ResolvedRuntime },
  ): Promise<Uint8Array | undefined> | undefined {
    const making = planOf(version, parts);
    return making && !this.#parts.store.isEmpty(making.key) ? this.#find(making) : undefined;
  }

  async #find(making: Making): Promise<Uint8Array | undefined> {
    try {
      const pack = await this.#parts.store.find(making.key);
      if (pack) return pack.length > 0 ? pack : undefined;
      this.#inBackground(() => this.#make(making));
    } catch (error) {
      this.#parts.log.warn("a pack cannot be read; the start takes longer", {
        function: making.version.functionName,
        error,
      });
    }
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the daemon is stopping"));
    await Promise.all(this.#work);
  }

  #inBackground(work: () => Promise<void>): void {
    const doing = work()
      .catch((error: unknown) => {
        // The next start will say what is wrong with the code, if anything is.
        if (!this.#stopping.signal.aborted) this.#parts.log.debug("no pack can be made", { error });
      })
      .finally(() => this.#work.delete(doing));
    this.#work.add(doing);
  }

  async #expect(version: Version): Promise<void> {
    if (!mayHavePack(version)) return;
    const [adapter, runtime] = await Promise.all([
      this.#parts.adapterOf(version.config),
      this.#parts.resolveRuntime(version.config),
    ]);
    const making = planOf(version, { adapter, runtime });
    if (making && !(await this.#parts.store.find(making.key))) await this.#make(making);
  }

  async #make(making: Making): Promise<void> {
    if (this.#tried.has(making.key)) return;
    this.#tried.add(making.key);
    await this.#parts.clock.sleep(AFTER_CHANGE_MS, this.#stopping);
    await this.#inTurn.run(async () => {
      const codeDir = await this.#parts.depot.openTree(making.version.code.treeId);
      const pack = (await hasMuch(codeDir)) ? await this.#run(making, codeDir) : new Uint8Array();
      await this.#parts.store.keep(making.key, pack);
    });
    this.#tried.delete(making.key);
  }

  /** @throws if the program fails, which is tried once as long as the daemon runs. */
  async #run({ version, runtime, packer }: Making, codeDir: string): Promise<Uint8Array> {
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(PACK_MS_MAX)]);
    const { config } = version;
    await using sandbox = await this.#parts.driver.start(
      {
        id: newSandboxId(),
        codeDir,
        runtimeDir: runtime.runtimeDir,
        toolDirs: runtime.toolDirs,
        memoryMib: MEMORY_MIB,
        cpus: 1,
        pidsMax: PIDS_MAX,
        tmpMib: TMP_MIB,
        network: config.network,
        hasInput: false,
        hasPort: false,
        onRuntimeApiConnection: undefined,
        launch: (places) => packer.launch(places, BASE_ENVIRONMENT),
      },
      { signal },
    );
    signal.throwIfAborted();
    const stop = () => void sandbox[Symbol.asyncDispose]();
    signal.addEventListener("abort", stop, { once: true });
    sandbox.telemetry.resume();
    const [pack, problem, exit] = await Promise.all([
      firstBytes(sandbox.stdout, PACK_BYTES_MAX + 1),
      firstBytes(sandbox.stderr, PROBLEM_BYTES_MAX),
      sandbox.exited,
    ]).finally(() => signal.removeEventListener("abort", stop));
    signal.throwIfAborted();
    if (exit.exitCode !== 0)
      throw new Error(problem.toString() || `it ended with ${exit.signal ?? exit.exitCode}`);
    return pack.length > PACK_BYTES_MAX ? new Uint8Array() : pack;
  }
}

function mayHavePack({ code, config }: Version): boolean {
  return !code.image && config.entry.kind === "handler";
}

/** Undefined where a pack would be of no use. */
function planOf(
  version: Version,
  { adapter, runtime }: { readonly adapter: ProtocolAdapter; readonly runtime: ResolvedRuntime },
): Making | undefined {
  if (!mayHavePack(version)) return undefined;
  const { code, functionName } = version;
  const packer = adapter.packer?.(version, runtime);
  // Of that function alone: what its code could do to its pack is then nobody else's.
  return packer && { version, runtime, packer, key: JSON.stringify([functionName, code.treeId, packer.key]) };
}

const PROBLEM_BYTES_MAX = 2_000;

/** Of what comes, so much is kept; the rest is read and dropped. */
async function firstBytes(stream: Readable, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    if (bytes < bytesMax) chunks.push(chunk);
    bytes += chunk.length;
  }
  return Buffer.concat(chunks).subarray(0, bytesMax);
}

/** Whether code has more than a file or two, by its top folder. */
async function hasMuch(codeDir: string): Promise<boolean> {
  const entries = await readdir(codeDir, { withFileTypes: true });
  return entries.some((entry) => entry.isDirectory()) || entries.length >= SOURCE_FILES_MIN;
}
