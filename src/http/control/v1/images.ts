/** `/v1/images`: what the versions of functions run where their code is an image, and what that was built on. */
import { isPlatformError, PlatformError } from "../../../core/errors.ts";
import {
  type BaseImage,
  basesOf,
  type FunctionRecord,
  isPinned,
  type Version,
} from "../../../core/function.ts";
import { parseFunctionName } from "../../../core/ids.ts";
import { explainError } from "../../error-response.ts";
import type { ControlImages, ControlParts } from "../parts.ts";
import { type ControlRequest, jsonReply, type Reply } from "../route.ts";
import { parseRefreshImages } from "./wire.ts";

const PAGE = 100;
/** For all the engine is asked; what it has not said by then is left out. */
const ENGINE_MS_MAX = 10_000;

type Inventory = Awaited<ReturnType<ControlImages["engine"]["inventory"]>>;

export async function listImages(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const only = parseFunctionName(request.query.get("function") ?? "");
  if (only && request.caller.mayUse(only)) await parts.functions.get(only);
  const found: { readonly record: FunctionRecord; readonly version: Version }[] = [];
  for await (const record of functionsOf(parts, request)) {
    for (const version of await versionsOf(parts, record)) found.push({ record, version });
  }
  const state = await engineState(
    parts,
    found.flatMap(({ version: { code } }) => (code.image ? basesOf(code.image) : [])),
  );
  return jsonReply(200, {
    images: found.map(({ record, version }) => imageShape(record, version, state)),
    engineProblem: state.problem,
  });
}

/** NDJSON: what the engine says as it builds, what became of each function, and the end or an error. */
export async function refreshImages(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { functions, isLive: isLiveGiven } = parseRefreshImages(request.json);
  const { refresh, goesLive } = imagesOf(parts);
  const isLive = isLiveGiven ?? goesLive;
  const wanted = functions && new Set<string>(functions);
  for (const name of functions ?? []) {
    if (!request.caller.mayUse(name)) throw new PlatformError("Forbidden", `this key may not use "${name}"`);
    await parts.functions.get(name);
  }
  return {
    kind: "stream",
    contentType: "application/x-ndjson",
    async run(out) {
      const send = (line: object) => void out.write(`${JSON.stringify(line)}\n`);
      const mayUse = (name: string) => (wanted?.has(name) ?? true) && request.caller.mayUse(name);
      const work = { signal: request.signal, output: (text: string) => send({ type: "output", text }) };
      try {
        for await (const refreshed of refresh.refresh({ isLive, mayUse }, work))
          send({ type: "refreshed", ...refreshed });
        send({ type: "done" });
      } catch (error) {
        if (request.signal.aborted) return;
        const { code, message } = explainError(error, { log: parts.log, requestId: request.requestId });
        send({ type: "error", error: { code, message, requestId: request.requestId } });
      }
    },
  };
}

/** @throws PlatformError `EngineUnavailable` */
function imagesOf({ images }: ControlParts): ControlImages {
  if (images) return images;
  throw new PlatformError("EngineUnavailable", "this daemon runs no images");
}

async function* functionsOf(
  { functions }: ControlParts,
  { caller, query }: ControlRequest,
): AsyncGenerator<FunctionRecord> {
  const only = query.get("function");
  for (let after: string | undefined; ; ) {
    const page = await functions.list({ after, limit: PAGE });
    yield* page.filter(({ name }) => caller.mayUse(name) && (only === null || only === name));
    after = page.at(-1)?.name;
    if (page.length < PAGE) return;
  }
}

/** Those that are images, newest first; `$LATEST` only where it is no number. */
async function versionsOf({ functions }: ControlParts, record: FunctionRecord): Promise<Version[]> {
  const found: Version[] = [];
  for (let after = 0; ; ) {
    const page = await functions.listVersions(record.name, { after, limit: PAGE });
    found.push(...page);
    after = Number(page.at(-1)?.label);
    if (page.length < PAGE) break;
  }
  const isNumbered = found.some(({ label }) => label === String(record.liveVersion));
  return [...found, ...(isNumbered ? [] : [record.latest])].filter(({ code }) => code.image).reverse();
}

interface EngineState {
  /** Undefined if the engine could not be asked. */
  readonly here: Inventory | undefined;
  /** What the names of bases mean on the engine now, by id. */
  readonly bases: ReadonlyMap<string, string>;
  readonly problem: string | undefined;
}

async function engineState(parts: ControlParts, bases: readonly BaseImage[]): Promise<EngineState> {
  const signal = AbortSignal.timeout(ENGINE_MS_MAX);
  const ids = new Map<string, string>();
  try {
    const { engine } = imagesOf(parts);
    const here = await engine.inventory({ signal });
    for (const name of new Set(bases.map(({ name }) => name))) {
      const facts = await engine.look(name, { signal });
      if (facts) ids.set(name, facts.id);
    }
    return { here, bases: ids, problem: undefined };
  } catch (error) {
    if (!isPlatformError(error) && !signal.aborted) throw error;
    const problem = error instanceof Error ? error.message : String(error);
    return { here: undefined, bases: ids, problem };
  }
}

function imageShape(record: FunctionRecord, version: Version, state: EngineState): object {
  const { image } = version.code;
  const here = image && state.here?.get(image.id);
  const isLive =
    version.label === "$LATEST" ||
    (record.liveVersion !== undefined && version.label === `${record.liveVersion}`);
  return {
    function: record.name,
    version: version.label,
    isLive,
    aliases: record.aliases
      .filter((alias) => alias.version === version.label || alias.split?.version === version.label)
      .map((alias) => alias.name),
    id: image?.id,
    source: image?.source || undefined,
    base: image?.base && { ...image.base, state: baseState(image.base, state) },
    otherBases: (image?.otherBases ?? []).map((base) => ({ ...base, state: baseState(base, state) })),
    project: record.membership?.project,
    bytes: version.code.treeBytes,
    createdAt: image?.createdAt,
    publishedAt: version.modifiedAt,
    digests: here?.digests,
    isHere: state.here && here !== undefined,
    containers: here?.containers,
  };
}

/** Against what the engine has by that name; the registry is asked by a refresh only. */
function baseState(base: BaseImage, { bases }: EngineState): "current" | "outdated" | "pinned" | "unknown" {
  if (isPinned(base)) return "pinned";
  const { name, id } = base;
  const now = bases.get(name);
  if (now === undefined) return "unknown";
  return now === id ? "current" : "outdated";
}
