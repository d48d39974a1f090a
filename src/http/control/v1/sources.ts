/** Queues that functions are called for, in our own API. */
import { PlatformError } from "../../../core/errors.ts";
import type { Destination } from "../../../core/event.ts";
import { parseSourceId } from "../../../core/ids.ts";
import { isOfLiveRelease } from "../../../core/project.ts";
import { originArn, type Source, type SourceStatus } from "../../../core/source.ts";
import type { SourceBook } from "../../../registry/source-book.ts";
import { allowsScope } from "../keys.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, type Handler, jsonReply } from "../route.ts";
import { askedFunction, refuseOthers, requireFunction } from "./asked-function.ts";
import { parseChangeSource, parseCreateSource } from "./source-wire.ts";
import { parsePage } from "./wire.ts";

export type SourceOperation =
  | "listSources"
  | "getSource"
  | "createSource"
  | "changeSource"
  | "deleteSource"
  | "pauseSource"
  | "resumeSource";

const RULES = { hidesForTimeout: false };

export function sourceHandlers(
  parts: Pick<ControlParts, "account" | "functions" | "region" | "sourceWork">,
  book: SourceBook,
): Readonly<Record<SourceOperation, Handler>> {
  /** The source that the path names, if the key is good for its function. */
  async function named(request: ControlRequest): Promise<Source> {
    const text = request.params.source ?? "";
    const id = parseSourceId(text);
    if (!id) throw new PlatformError("ResourceNotFound", `there is no source ${JSON.stringify(text)}`);
    const source = await book.get(id);
    refuseOthers(request, source.functionName);
    return source;
  }
  const show = (source: Source) => sourceShape(parts, source, parts.sourceWork.status(source.id));
  const setPaused =
    (isPaused: boolean): Handler =>
    async (request) => {
      const source = await named(request);
      if (source.isPaused === isPaused) return jsonReply(200, show(source));
      return jsonReply(200, show(await book.update(source.id, { isPaused }, RULES)));
    };

  return {
    async listSources(request) {
      const { query, caller } = request;
      const { after, limit } = parsePage(query);
      const functionName = askedFunction(request);
      const found: Source[] = [];
      let position = after;
      // One more than asked for tells whether there is a next page.
      while (found.length <= limit) {
        const page = await book.list({ functionName: undefined, after: position, limit: limit + 1 });
        const isWanted = (source: Source) =>
          caller.mayUse(source.functionName) && (functionName ?? source.functionName) === source.functionName;
        found.push(...page.filter(isWanted));
        position = page.at(-1)?.id;
        if (page.length <= limit) break;
      }
      await requireFunction(parts.functions, functionName, found.length);
      const shown = found.slice(0, limit);
      return jsonReply(200, {
        sources: shown.map(show),
        next: found.length > limit ? shown.at(-1)?.id : undefined,
      });
    },
    getSource: async (request) => jsonReply(200, show(await named(request))),
    async createSource(request) {
      const wanted = parseCreateSource(request.json);
      refuseOthers(request, wanted.functionName);
      const { origin } = wanted;
      if (origin.kind === "nats" || origin.endpoint !== undefined) refuseAddress(request);
      return jsonReply(201, show(await book.create(wanted, RULES)));
    },
    async changeSource(request) {
      const source = await named(request);
      const change = parseChangeSource(request.json, source.origin.kind);
      if (change.functionName !== undefined) refuseOthers(request, change.functionName);
      return jsonReply(200, show(await book.update(source.id, change, RULES)));
    },
    async deleteSource(request) {
      await book.remove((await named(request)).id);
      return emptyReply(204);
    },
    pauseSource: setPaused(true),
    resumeSource: setPaused(false),
  };
}

/** The daemon connects to it from where it stands, which may be further inside than any function gets. */
function refuseAddress({ caller, route }: ControlRequest): void {
  if (caller.key && allowsScope(caller.key, "admin")) return;
  throw new PlatformError(
    "Forbidden",
    `key ${caller.key?.id} is not authorized to perform ${route.name} for an address: that needs the scope admin; queues of the configured sqs-endpoint do not`,
  );
}

/** Secrets are never shown. */
function sourceShape(
  own: { readonly account: string; readonly region: string },
  source: Source,
  status: SourceStatus | undefined,
): Record<string, unknown> {
  const { origin } = source;
  return {
    id: source.id,
    project: source.owner?.project,
    name: source.owner?.name,
    function: source.functionName,
    qualifier: source.qualifier,
    kind: origin.kind,
    from: origin.kind === "sqs" ? origin.queueArn : origin.servers.join(","),
    arn: originArn(origin, own),
    ...(origin.kind === "sqs"
      ? { endpoint: origin.endpoint, accessKeyId: origin.login?.accessKeyId }
      : {
          stream: origin.stream,
          consumer: origin.consumer,
          subject: origin.subject,
          startsAt: origin.startsAt,
          attemptsMax: origin.attemptsMax,
          user: origin.login?.user,
          hasSecret: origin.login !== undefined,
        }),
    batchSize: source.batchMax,
    windowMs: source.windowMs,
    concurrencyMax: source.concurrencyMax,
    partialFailures: source.reportsFailures,
    filters: source.filters.map((pattern): unknown => JSON.parse(pattern)),
    onFailure: destinationText(source.onFailure),
    isPaused: source.isPaused,
    state: stateText(source, status),
    running: status?.running ?? 0,
    lastResult: status?.lastResult,
    counts: status?.counts,
    createdAt: source.createdAt,
    modifiedAt: source.modifiedAt,
  };
}

function stateText(source: Source, status: SourceStatus | undefined): string {
  if (status && status.activity !== "stopped") return status.activity;
  if (!isOfLiveRelease(source)) return "not live";
  return source.isPaused ? "paused" : "starting";
}

function destinationText(destination: Destination | undefined): string | undefined {
  switch (destination?.kind) {
    case undefined:
      return undefined;
    case "url":
      return destination.url;
    case "function":
      return [destination.functionName, destination.qualifier].filter(Boolean).join(":");
  }
}
