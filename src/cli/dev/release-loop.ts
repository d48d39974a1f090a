/**
 * Turns what the files say into releases: what has changed is built, all of it goes live in one step, and whatever does
 * not build or start leaves what is live as it is.
 */
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { Readable } from "node:stream";
import { sendSecrets } from "../build-inputs.ts";
import { CliError } from "../cli-error.ts";
import type { ApiClient } from "../client.ts";
import { openZip, type PackagedFile, packageFolder } from "../package-folder.ts";
import { CodeInputs } from "./code-inputs.ts";
import type { DevFunction, DevReading } from "./dev-function.ts";
import type { DevReport } from "./dev-report.ts";
import { DEV_IGNORED } from "./function-folder.ts";
import { readBuildLine, readReleaseLine } from "./release-wire.ts";

export interface LoopParts {
  readonly api: ApiClient;
  readonly project: string;
  read(): Promise<DevReading>;
  /** What is sent for a function instead of what is in its folder, to debug it, say. */
  prepare(each: DevFunction): Promise<Prepared>;
  readonly report: (line: DevReport) => void;
}

export interface Prepared {
  readonly function: DevFunction;
  /** Beside those of its folder. */
  readonly files: readonly PackagedFile[];
}

/** How a round ended. */
export interface RoundResult {
  /** Something was not there for the moment, as while a folder is replaced: another round is due. */
  readonly isUnsettled: boolean;
}

const SILENCE_MS_MAX = 900_000;
/** A function whose folder is gone for longer than this is taken out. */
const GONE_AFTER_MS = 1_000;

/** What is, or is to be, in a release. */
interface Candidate {
  readonly name: string;
  readonly folder: string;
  readonly inputs: string;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Of a build that was just made; undefined for code that is live already. */
  readonly build: string | undefined;
}

export class ReleaseLoop {
  readonly #parts: LoopParts;
  readonly #inputs = new CodeInputs();
  /** By name, as they are live. */
  #live = new Map<string, Candidate>();
  /** What was tried last and failed, so that it is not tried again until it changes. */
  readonly #failed = new Map<string, string>();
  /** What is live besides functions, and what was refused, as JSON. */
  #besides = "{}";
  #besidesFailed: string | undefined;
  readonly #goneSince = new Map<string, number>();
  readonly #said = new Set<string>();

  constructor(parts: LoopParts) {
    this.#parts = parts;
  }

  /** Names and folders of what is live. */
  get live(): readonly { readonly name: string; readonly folder: string }[] {
    return [...this.#live.values()];
  }

  /**
   * One round: reads, builds what changed, releases.
   *
   * @param startedAt of `performance.now()`, when the first change was seen
   * @param signal ends builds that are overtaken by newer changes; a release that has begun is carried out
   * @throws CliError if the daemon cannot be reached, `signal.reason` if aborted
   */
  async round(options: {
    readonly startedAt: number;
    readonly isForced: boolean;
    readonly signal: AbortSignal;
  }): Promise<RoundResult> {
    const { report } = this.#parts;
    let reading: DevReading;
    try {
      reading = await this.#parts.read();
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      report({ type: "problem", function: undefined, message: withHint(error), folder: undefined });
      return { isUnsettled: false };
    }
    for (const text of reading.remarks) {
      if (!this.#said.has(text)) report({ type: "note", text });
      this.#said.add(text);
    }
    const { kept, isUnsettled } = this.#vanished(reading.functions);
    const looked = await Promise.all(reading.functions.map((each) => this.#look(each, options)));
    const candidates = [...kept, ...looked.flatMap(({ candidate }) => (candidate ? [candidate] : []))];
    await this.#release(candidates, reading.besides, options.startedAt);
    return { isUnsettled: isUnsettled || looked.some((each) => each.isUnsettled) };
  }

  /** Those whose folder is not there now, but was a moment ago. */
  #vanished(functions: readonly DevFunction[]): {
    readonly kept: readonly Candidate[];
    readonly isUnsettled: boolean;
  } {
    const now = performance.now();
    const kept: Candidate[] = [];
    for (const each of functions) this.#goneSince.delete(each.name);
    for (const live of this.#live.values()) {
      if (functions.some(({ name }) => name === live.name)) continue;
      const since = this.#goneSince.get(live.name) ?? now;
      this.#goneSince.set(live.name, since);
      if (now - since < GONE_AFTER_MS) kept.push({ ...live, build: undefined });
    }
    return { kept, isUnsettled: kept.length > 0 };
  }

  /** Builds a function if it has changed; what was live is the candidate where that fails. */
  async #look(
    given: DevFunction,
    { isForced, signal }: { readonly isForced: boolean; readonly signal: AbortSignal },
  ): Promise<{ readonly candidate: Candidate | undefined; readonly isUnsettled: boolean }> {
    const live = this.#live.get(given.name);
    const before = live && { ...live, build: undefined };
    let prepared: Prepared;
    let files: readonly PackagedFile[];
    let inputs: string;
    try {
      prepared = await this.#parts.prepare(given);
      files = [...(await filesOf(prepared.function)), ...prepared.files];
      inputs = await this.#inputs.hash(files, prepared.function.build);
    } catch (error) {
      return this.#unreadable(given, before, error);
    }
    const { name, folder, build, buildSecrets, config, environment } = prepared.function;
    const settings = { ...config, environment };
    if (!isForced && live?.inputs === inputs) {
      this.#failed.delete(name);
      return { candidate: { ...live, settings, build: undefined }, isUnsettled: false };
    }
    if (!isForced && this.#failed.get(name) === inputs) return { candidate: before, isUnsettled: false };
    try {
      const made = await this.#build(name, { build, buildSecrets }, files, signal);
      return { candidate: { name, folder, inputs, settings, build: made }, isUnsettled: false };
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (!(error instanceof CliError) || error.code === "ServerUnreachable") throw error;
      this.#failed.set(name, inputs);
      this.#parts.report({ type: "problem", function: name, message: error.message, folder });
      return { candidate: before, isUnsettled: false };
    }
  }

  /** Empty, or with files that go while they are read: as likely being replaced as wrong, so it is said the second time. */
  #unreadable(
    { name, folder }: DevFunction,
    before: Candidate | undefined,
    error: unknown,
  ): { readonly candidate: Candidate | undefined; readonly isUnsettled: boolean } {
    const isGone = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (!(error instanceof CliError) && !isGone) throw error;
    const message = error instanceof CliError ? withHint(error) : error.message;
    if (this.#failed.get(name) === message) {
      this.#failed.set(name, `said: ${message}`);
      this.#parts.report({ type: "problem", function: name, message, folder });
      return { candidate: before, isUnsettled: false };
    }
    if (this.#failed.get(name) === `said: ${message}`) return { candidate: before, isUnsettled: false };
    this.#failed.set(name, message);
    return { candidate: before, isUnsettled: true };
  }

  async #build(
    name: string,
    { build, buildSecrets }: Pick<DevFunction, "build" | "buildSecrets">,
    files: readonly PackagedFile[],
    signal: AbortSignal,
  ): Promise<string> {
    const { api, project, report } = this.#parts;
    const secrets = await sendSecrets(api, buildSecrets);
    const upload: Readable = files.length === 0 ? Readable.from([]) : await openZip(files);
    const stop = () =>
      upload.destroy(signal.reason instanceof Error ? signal.reason : new Error("overtaken"));
    signal.addEventListener("abort", stop);
    try {
      const lines = api.lines("POST", `/v1/projects/${project}/builds/${encodeURIComponent(name)}`, {
        query: { options: JSON.stringify({ ...build, ...(secrets && { buildSecrets: secrets }) }) },
        upload,
        headers: { "content-type": "application/octet-stream" },
        silenceMsMax: SILENCE_MS_MAX,
      });
      for await (const line of lines) {
        signal.throwIfAborted();
        const event = readBuildLine(line);
        if (event?.type === "error") throw CliError.fromServer(undefined, event.code, event.message);
        if (event?.type === "done") return event.build;
        if (event?.type === "output") report({ type: "build", function: name, text: event.text });
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
    throw CliError.local("ServerUnreachable", `${api.server} ended the build of ${name} without saying how`);
  }

  /** All at once; if that fails and several have changed, one after the other, so that one does not hold up the others. */
  async #release(
    candidates: readonly Candidate[],
    besides: DevReading["besides"],
    startedAt: number,
  ): Promise<void> {
    const changed = candidates.filter((each) => this.#isNews(each));
    const isNews =
      JSON.stringify(besides) !== this.#besides && JSON.stringify(besides) !== this.#besidesFailed;
    const isRemoved = [...this.#live.keys()].some((name) => !candidates.some((each) => each.name === name));
    if (changed.length === 0 && !isRemoved && !isNews) return;
    if (candidates.length === 0) {
      this.#parts.report({
        type: "problem",
        function: undefined,
        message: "no function is left; what was live stays",
        folder: undefined,
      });
      return;
    }
    const work = { besides, startedAt };
    if (await this.#tryRelease(candidates, changed, { ...work, isTriedAgain: changed.length > 1 })) return;
    if (changed.length < 2) return;
    for (const one of changed) {
      const others = candidates
        .filter((each) => each.name !== one.name)
        .flatMap((each) => (this.#isNews(each) ? (this.#live.get(each.name) ?? []) : each))
        .map((each) => ({ ...each, build: undefined }));
      await this.#tryRelease([...others, one], [one], { ...work, isTriedAgain: false });
    }
  }

  #isNews(candidate: Candidate): boolean {
    if (candidate.build !== undefined) return true;
    const live = this.#live.get(candidate.name);
    return JSON.stringify(live?.settings) !== JSON.stringify(candidate.settings);
  }

  async #tryRelease(
    candidates: readonly Candidate[],
    changed: readonly Candidate[],
    work: {
      readonly besides: DevReading["besides"];
      readonly startedAt: number;
      /** What does not start is tried again by itself. */
      readonly isTriedAgain: boolean;
    },
  ): Promise<boolean> {
    const { api, project, report } = this.#parts;
    const functions = Object.fromEntries(
      candidates.map(({ name, inputs, settings, build }) => [
        name,
        { ...settings, inputs, ...(build && { build }) },
      ]),
    );
    const body = { ...work.besides, functions, description: "lambda dev", adopt: true, prune: true };
    try {
      const lines = api.lines("POST", `/v1/projects/${project}/releases`, {
        body,
        silenceMsMax: SILENCE_MS_MAX,
      });
      for await (const line of lines) {
        const event = readReleaseLine(line);
        if (event?.type === "error") throw CliError.fromServer(undefined, event.code, event.message);
        if (event?.type !== "done") continue;
        this.#live = new Map(candidates.map((each) => [each.name, each]));
        this.#besides = JSON.stringify(work.besides);
        for (const { name } of changed) this.#failed.delete(name);
        report({
          type: "live",
          release: event.release,
          isNew: !event.isMade,
          functions: changed.map(({ name }) => name),
          urls: event.urls,
          tookMs: Math.round(performance.now() - work.startedAt),
        });
        for (const text of event.hooks) report({ type: "note", text });
        return true;
      }
    } catch (error) {
      if (!(error instanceof CliError) || error.code === "ServerUnreachable") throw error;
      if (work.isTriedAgain) return false;
      for (const { name, inputs } of changed) this.#failed.set(name, inputs);
      if (changed.length === 0) this.#besidesFailed = JSON.stringify(work.besides);
      const [one] = changed;
      report({
        type: "problem",
        function: changed.length === 1 ? one?.name : undefined,
        message: error.message,
        folder: changed.length === 1 ? one?.folder : undefined,
      });
      return false;
    }
    throw CliError.local("ServerUnreachable", `${api.server} ended the release without saying how`);
  }
}

/** None of an image that is named, one of a file. */
async function filesOf({ folder, build }: DevFunction): Promise<readonly PackagedFile[]> {
  if (build.image !== undefined) return [];
  const facts = await stat(folder);
  if (facts.isDirectory()) return (await packageFolder(folder, DEV_IGNORED)).files;
  const isExecutable = (facts.mode & 0o111) !== 0;
  return [{ path: basename(folder), source: folder, bytes: facts.size, isExecutable }];
}

function withHint({ message, hint }: CliError): string {
  return hint === undefined ? message : `${message}; ${hint}`;
}
