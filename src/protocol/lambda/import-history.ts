/**
 * Which modules of its interpreter a Python version imports while it loads, as its runtime has noticed
 * (runtimes/python/lambdad_runtime/imports.py). Versions that import the same can be forked from a process that has loaded
 * them already. A function says of itself what it likes here: it can have modules loaded that the interpreter brings, in a
 * process whose children are its own and those of versions that said exactly the same.
 */
import type { Version } from "../../core/function.ts";

interface ModuleSet {
  readonly names: readonly string[];
  startedAt: number;
}

export interface ImportHistoryParts {
  /** As many sets are kept loaded; 0 keeps none. */
  readonly setsMax: number;
  readonly now?: () => number;
}

/** Less is not worth a process of its own. */
const NAMES_MIN = 4;
const NAMES_MAX = 1_000;
/** All names together, as an argument of a process. */
const BYTES_MAX = 32 * 1024;
/** A set that no version has been started with for so long makes room for another. */
const QUIET_MS = 600_000;
const VERSIONS_MAX = 10_000;

export class ImportHistory {
  readonly #setsMax: number;
  readonly #now: () => number;
  /** What each version imports, by `keyOf`; oldest first. */
  readonly #byVersion = new Map<string, string>();
  readonly #loaded = new Map<string, ModuleSet>();

  constructor({ setsMax, now = () => performance.now() }: ImportHistoryParts) {
    this.#setsMax = setsMax;
    this.#now = now;
  }

  /** Takes the label of READY, which is hostile: what cannot be names of modules is not heard. */
  learn(version: Version, label: string): void {
    if (this.#setsMax === 0 || label === "" || label.length > BYTES_MAX) return;
    const names = label.split(",");
    if (names.length < NAMES_MIN || names.length > NAMES_MAX || !names.every((name) => NAME.test(name)))
      return;
    const key = keyOf(version);
    // What it imports besides, having been forked from a process that has the rest.
    if (this.#byVersion.has(key)) return;
    this.#byVersion.set(key, label);
    const [oldest] = this.#byVersion.keys();
    if (this.#byVersion.size > VERSIONS_MAX && oldest !== undefined) this.#byVersion.delete(oldest);
  }

  /** The modules that are to be there when the version starts; undefined where it has none, or there is no room for them. */
  of(version: Version): readonly string[] | undefined {
    const key = this.#byVersion.get(keyOf(version));
    if (key === undefined || readsEnvironmentEarly(version)) return undefined;
    const set = this.#loaded.get(key) ?? this.#admit(key);
    if (set) set.startedAt = this.#now();
    return set?.names;
  }

  /** Whether these are still among those that are kept loaded. */
  keeps(names: readonly string[]): boolean {
    return this.#loaded.has(names.join(","));
  }

  #admit(key: string): ModuleSet | undefined {
    if (this.#loaded.size >= this.#setsMax) {
      const quietest = [...this.#loaded].reduce((a, b) => (a[1].startedAt <= b[1].startedAt ? a : b));
      if (this.#now() - quietest[1].startedAt < QUIET_MS) return undefined;
      this.#loaded.delete(quietest[0]);
    }
    const set = { names: key.split(","), startedAt: this.#now() };
    this.#loaded.set(key, set);
    return set;
  }
}

const NAME = /^\w{1,100}(\.\w{1,100}){0,15}$/;

function keyOf({ functionName, code, config }: Version): string {
  const handler = config.entry.kind === "handler" ? config.entry.handler : "";
  return JSON.stringify([functionName, code.treeId, config.runtime, handler]);
}

/** Variables that numpy, boto3 and their libraries read when they are imported, not when they are used. */
const READ_AT_IMPORT = /^(OMP|OPENBLAS|GOTO|MKL|BLIS|NPY|NUMPY|BOTO|SSLKEYLOGFILE)/;

function readsEnvironmentEarly({ config }: Version): boolean {
  return Object.keys(config.environment).some((name) => READ_AT_IMPORT.test(name));
}
