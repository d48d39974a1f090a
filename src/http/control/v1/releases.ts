/**
 * `POST …/releases`: makes a release of what was built before, starts what is new in it beside what is live, and switches.
 *
 * The answer is NDJSON of progress. Until everything is ready nothing has changed: a function that does not start leaves
 * the live release as it is, and so does a caller who leaves or a daemon that dies.
 */
import { inParallel } from "../../../code/in-parallel.ts";
import type { PreparedCode } from "../../../code/prepare.ts";
import { errorFacts, isPlatformError, PlatformError } from "../../../core/errors.ts";
import type { FunctionName } from "../../../core/ids.ts";
import { formatRelease, type ProjectName } from "../../../core/project.ts";
import type { Release } from "../../../core/release.ts";
import type { SourceOrigin } from "../../../core/source.ts";
import type { ProjectBook, ReleasePlan, WantedFunction } from "../../../registry/projects.ts";
import type { NewOrigin } from "../../../registry/source-rules.ts";
import type { Target } from "../../../registry/target.ts";
import { explainError } from "../../error-response.ts";
import { allowsScope } from "../keys.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest, Reply } from "../route.ts";
import { refuseOthers } from "./asked-function.ts";
import { canaryShape } from "./canaries.ts";
import { configOf } from "./config.ts";
import { claimantOf } from "./http-routes.ts";
import { checkMayInvoke } from "./may-invoke.ts";
import type { ProjectBuilds } from "./project-builds.ts";
import { hookNewsShape, planShape } from "./project-shapes.ts";
import { type FunctionOfRelease, parseMakeRelease, projectOf, type ReleaseOrder } from "./project-wire.ts";
import { shadowShape } from "./shadows.ts";
import { startProblem } from "./start-problem.ts";

/** More than any start may take; a deploy must end even if whoever starts instances does not say so. */
const START_MS_MAX = 60_000;
const LOG_LINES_SHOWN = 10;

interface Work {
  readonly parts: ControlParts;
  readonly book: ProjectBook;
  readonly builds: ProjectBuilds;
  readonly request: ControlRequest;
}

export async function makeRelease(
  parts: ControlParts,
  book: ProjectBook,
  builds: ProjectBuilds,
  request: ControlRequest,
): Promise<Reply> {
  const project = projectOf(request);
  const order = await parseMakeRelease(request);
  const work = { parts, book, builds, request };
  return {
    kind: "stream",
    contentType: "application/x-ndjson",
    async run(out) {
      const send = (line: Readonly<Record<string, unknown>>) => void out.write(`${JSON.stringify(line)}\n`);
      try {
        send({ type: "done", ...(await carryOut(work, project, order, send)) });
      } catch (error) {
        if (request.signal.aborted) return;
        const { code, message } = explainError(error, { log: parts.log, requestId: request.requestId });
        send({ type: "error", error: { code, message, requestId: request.requestId } });
      }
    },
  };
}

async function carryOut(
  work: Work,
  project: ProjectName,
  order: ReleaseOrder,
  send: (line: Readonly<Record<string, unknown>>) => void,
): Promise<Record<string, unknown>> {
  const { parts, book, request } = work;
  for (const { name } of order.functions) refuseOthers(request, name);
  for (const route of order.routes) parts.routeBook.checkMayClaim(route, claimantOf(request.caller));
  const reused = await releasesWithCode(book, project);
  refuseAddresses(request, order, reused[0]);
  const functions: WantedFunction[] = [];
  for (const each of order.functions)
    functions.push(await wantedFunction(work, project, order, each, reused));
  const wanted = { ...order, project, functions };
  if (order.isDryRun) return planShape(await book.plan(wanted), parts);
  const ready: Record<string, number> = {};
  const made = await book.make(wanted, {
    mayRemove: order.mayRemove,
    async start(plan, targets) {
      const due = targetsToStart(parts, plan, targets);
      send({ type: "step", title: `Starting release ${plan.release.number}` });
      await inParallel(due, STARTS_AT_ONCE, async ({ target, instances }) => {
        const { name } = target.record;
        ready[name] = await start(work, plan, target, instances);
        send({
          type: "started",
          function: name,
          version: Number(target.version.label),
          readyMs: ready[name],
        });
      });
      request.signal.throwIfAborted();
    },
  });
  const hooks = made.hookNews.map((news) => hookNewsShape(news, parts));
  const { canaries } = await book.get(project);
  const trial = canaries?.find(({ release, decision }) => release === made.release.number && !decision);
  const tried = trial && (trial.shadow ? { shadow: shadowShape(trial) } : { canary: canaryShape(trial) });
  return { ...planShape(made, parts), hooks, readyMs: ready, ...tried };
}

/** The daemon connects to them from where it stands: those that the project does not have yet need an admin. */
function refuseAddresses(
  { caller }: ControlRequest,
  { sources }: ReleaseOrder,
  known: Pick<Release, "sources"> | undefined,
): void {
  if (caller.key && allowsScope(caller.key, "admin")) return;
  const before = new Map(known?.sources.map(({ name, origin }) => [name, addressesOf(origin)]));
  for (const { name, origin } of sources) {
    const addresses = addressesOf(origin);
    if (addresses === undefined || before.get(name) === addresses) continue;
    throw new PlatformError(
      "Forbidden",
      `source ${name}: a queue at an address (${addresses}) needs a key of scope admin to be added or moved; queues of the configured sqs-endpoint do not`,
    );
  }
}

function addressesOf(origin: NewOrigin | SourceOrigin): string | undefined {
  return origin.kind === "sqs" ? origin.endpoint : origin.servers.join(",");
}

/** Each takes its turn among all starts of this host; more here would only hide how long one takes. */
const STARTS_AT_ONCE = 16;

/** In the order in which code is looked for: the live release, then the latest, which may be a preview. */
async function releasesWithCode(book: ProjectBook, project: ProjectName): Promise<Release[]> {
  try {
    const { liveRelease } = await book.get(project);
    const [latest] = await book.listReleases(project, { before: undefined, limit: 1 });
    const live = liveRelease === undefined ? undefined : await book.getRelease(project, liveRelease);
    return [live, latest].filter((release) => release !== undefined);
  } catch (error) {
    if (isPlatformError(error, "ResourceNotFound")) return [];
    throw error;
  }
}

async function wantedFunction(
  { parts, builds, request }: Work,
  project: ProjectName,
  { isDryRun }: ReleaseOrder,
  given: FunctionOfRelease,
  releases: readonly Release[],
): Promise<WantedFunction> {
  const { name, inputs, environment } = given;
  const prepared =
    given.build === undefined
      ? ((await codeOfInputs(parts, releases, name, inputs)) ?? (isDryRun ? unbuilt(inputs) : undefined))
      : builds.get(given.build, project, name);
  if (!prepared) {
    throw new PlatformError(
      "InvalidRequest",
      `functions.${name}.build: no release has been made of these inputs; build them first`,
    );
  }
  const config = configOf(given, undefined, { ...prepared, environment }, parts);
  const before = await liveConfig(parts, name);
  checkMayInvoke(request.caller, before, config);
  return {
    name,
    inputs,
    code: prepared.code,
    config,
    concurrencyMax: given.concurrencyMax ?? undefined,
    concurrencyMin: given.concurrencyMin ?? 0,
    recording: given.recording,
  };
}

async function codeOfInputs(
  parts: ControlParts,
  releases: readonly Release[],
  name: FunctionName,
  inputs: string,
): Promise<PreparedCode | undefined> {
  for (const release of releases) {
    const released = release.functions.find((each) => each.name === name && each.inputs === inputs);
    const version = released && (await parts.projects.registry.findVersion(name, released.version));
    if (!version) continue;
    const { code, config } = version;
    return { code, entry: config.entry, runtime: config.runtime, files: 0 };
  }
  return undefined;
}

/** Stands for code that a dry run does not build. */
function unbuilt(inputs: string): PreparedCode {
  return {
    code: { treeId: inputs, archiveSha256: inputs, archiveBytes: 0, treeBytes: 0 },
    entry: { kind: "handler", handler: "index.handler" },
    runtime: "provided.al2023",
    files: 0,
  };
}

/** What the function may invoke already. */
async function liveConfig(parts: ControlParts, name: FunctionName): Promise<readonly string[] | undefined> {
  const record = await parts.projects.registry.findFunction(name);
  return record?.latest.config.mayInvoke;
}

/**
 * What is new, to see whether it starts; and of what is being called as many as are up now, so that calls find them so
 * after the switch.
 */
function targetsToStart(
  parts: ControlParts,
  { difference }: ReleasePlan,
  targets: readonly Target[],
): { readonly target: Target; readonly instances: number }[] {
  const changed = new Set(difference.functions.map(({ name }) => name));
  return targets.flatMap((target) => {
    const { name, concurrencyMax } = target.record;
    // Nothing may call a function whose limit is 0, so nothing is started either.
    if (concurrencyMax === 0) return [];
    const { idle, busy } = parts.instances(name);
    // One that nobody calls now starts when somebody does: of many functions, few change with a release.
    const instances = Math.max(busy > 0 ? idle + busy : 0, changed.has(name) ? 1 : 0);
    return instances === 0 ? [] : [{ target, instances }];
  });
}

/** @throws PlatformError `ReleaseFailed` with why it does not start, and what it printed last. */
async function start(
  { parts, request }: Work,
  { release }: ReleasePlan,
  target: Target,
  instances: number,
): Promise<number> {
  const startedAt = parts.clock.now();
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(START_MS_MAX)]);
  try {
    return Math.round(await parts.warm(target, { signal, instances }));
  } catch (error) {
    request.signal.throwIfAborted();
    const { name } = target.record;
    if (isPlatformError(error) && errorFacts(error.code).fault === "platform") {
      parts.log.warn("a release did not start", { release: formatRelease(release), function: name, error });
    }
    const lines = await lastLines(parts, target, startedAt, request.signal);
    const live =
      release.madeOver === undefined ? "nothing is live" : `release ${release.madeOver} stays live`;
    throw new PlatformError(
      "ReleaseFailed",
      [`"${name}" does not start, so ${live}: ${startProblem(error)}`, ...lines].join("\n  "),
      { cause: error },
    );
  }
}

async function lastLines(
  { records }: ControlParts,
  { record, version }: Target,
  sinceAt: number,
  signal: AbortSignal,
): Promise<string[]> {
  const lines: string[] = [];
  const query = {
    functionName: record.name,
    sinceAt,
    untilAt: undefined,
    invocationId: undefined,
    version: version.label,
    contains: undefined,
    last: LOG_LINES_SHOWN,
    follow: false,
  };
  for await (const { stream, text } of records.read(query, { signal })) {
    if (stream !== "platform") lines.push(text.trimEnd());
  }
  return lines;
}
