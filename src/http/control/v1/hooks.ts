/** Hooks of our own API. */
import { PlatformError } from "../../../core/errors.ts";
import type { Hook, HookDelivery } from "../../../core/hook.ts";
import { parseDeliveryId } from "../../../core/ids.ts";
import { isOfLiveRelease } from "../../../core/project.ts";
import { parseRepoAddress } from "../../../core/repo-address.ts";
import { type HookBook, openHookBook } from "../../../registry/hook-book.ts";
import { activeSecrets, HOOK_SECRETS } from "../../../registry/hook-secrets.ts";
import { allowsScope } from "../keys.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, type Handler, jsonReply } from "../route.ts";
import { askedFunction, refuseOthers, requireFunction } from "./asked-function.ts";
import { parseCreateHook, parseRotateHook } from "./hook-wire.ts";
import { parsePage } from "./wire.ts";

export type HookOperation =
  | "listHooks"
  | "createHook"
  | "getHook"
  | "deleteHook"
  | "pauseHook"
  | "resumeHook"
  | "rotateHook"
  | "listHookDeliveries"
  | "getHookDelivery"
  | "redeliverHook";

export function hookHandlers(parts: ControlParts): Readonly<Record<HookOperation, Handler>> {
  const { ledger, functions, keys, clock } = parts;
  const book = openHookBook({
    hooks: parts.hooks,
    ledger,
    functions,
    box: keys.sealerFor(HOOK_SECRETS),
    turns: parts.hookTurns,
    deploymentWaits: parts.deploymentWaits,
    clock,
  });

  /** The hook that the path names, if the key is good for its function. */
  async function named(request: ControlRequest): Promise<Hook> {
    const hook = await book.get(request.params.hook ?? "");
    refuseOthers(request, hook.functionName);
    return hook;
  }

  const setPaused =
    (isPaused: boolean): Handler =>
    async (request) => {
      const { id } = await named(request);
      return jsonReply(200, hookShape(parts, await book.setPaused(id, isPaused)));
    };

  return {
    async listHooks(request) {
      const { query, caller } = request;
      const { after, limit } = parsePage(query);
      const functionName = askedFunction(request);
      const isWanted = (hook: Hook) =>
        caller.mayUse(hook.functionName) && (functionName ?? hook.functionName) === hook.functionName;
      const found: Hook[] = [];
      let position = after;
      // One more than asked for tells whether there is a next page.
      while (found.length <= limit) {
        const page = await book.list({ after: position, limit: limit + 1 });
        found.push(...page.filter(isWanted));
        position = page.at(-1)?.name;
        if (page.length <= limit) break;
      }
      await requireFunction(functions, functionName, found.length);
      const shown = found.slice(0, limit);
      return jsonReply(200, {
        hooks: shown.map((hook) => hookShape(parts, hook)),
        next: found.length > limit ? shown.at(-1)?.name : undefined,
      });
    },
    async createHook(request) {
      const wanted = parseCreateHook(request.json);
      refuseOthers(request, wanted.functionName);
      if (wanted.deploy) refuseForeignFolders(request, wanted.deploy.repo);
      const { hook, secret } = await book.create(wanted);
      return jsonReply(201, { hook: hookShape(parts, hook), secret });
    },
    getHook: async (request) => jsonReply(200, hookShape(parts, await named(request))),
    async deleteHook(request) {
      await book.remove((await named(request)).id);
      return emptyReply(204);
    },
    pauseHook: setPaused(true),
    resumeHook: setPaused(false),
    async rotateHook(request) {
      const { id } = await named(request);
      const { secret: given, overlapMs } = parseRotateHook(request.json);
      const { hook, secret } = await book.rotate(id, { secret: given, overlapMs });
      return jsonReply(200, { hook: hookShape(parts, hook), secret });
    },
    async listHookDeliveries(request) {
      const hook = await named(request);
      const { limit } = parsePage(request.query);
      const text = request.query.get("before");
      const before = text === null ? undefined : parseDeliveryId(text);
      if (text !== null && !before) {
        throw new PlatformError(
          "InvalidRequest",
          `before: expected the id of a delivery, got ${JSON.stringify(text)}`,
        );
      }
      const found = await book.deliveries(hook, { before, limit: limit + 1 });
      const shown = found.slice(0, limit);
      return jsonReply(200, {
        deliveries: await Promise.all(shown.map((delivery) => deliveryShape(parts, delivery))),
        next: found.length > limit ? shown.at(-1)?.id : undefined,
      });
    },
    async getHookDelivery(request) {
      const delivery = await delivered(book, await named(request), request);
      const log = delivery.deployment && (await book.deploymentLog(delivery.id));
      return jsonReply(200, { ...(await deliveryShape(parts, delivery)), log });
    },
    async redeliverHook(request) {
      const hook = await named(request);
      const { id } = await delivered(book, hook, request);
      const again = await book.redeliver(hook, id, "redelivered");
      return jsonReply(202, await deliveryShape(parts, again));
    },
  };
}

async function delivered(book: HookBook, hook: Hook, { params }: ControlRequest): Promise<HookDelivery> {
  const id = parseDeliveryId(params.delivery ?? "");
  if (id) return await book.getDelivery(hook, id);
  throw new PlatformError(
    "ResourceNotFound",
    `there is no delivery ${JSON.stringify(params.delivery)}; lambda hook deliveries ${hook.name} shows them`,
  );
}

/** A folder of this host is read with the daemon's rights, which are not those of whoever may deploy. */
function refuseForeignFolders({ caller }: ControlRequest, repo: string): void {
  const address = parseRepoAddress(repo);
  if ("problem" in address || address.kind !== "local") return;
  if (caller.key && allowsScope(caller.key, "admin")) return;
  throw new PlatformError(
    "Forbidden",
    `a repository on this host (${repo}) needs a key of scope admin, since the daemon reads it`,
  );
}

function hookShape(
  { urls, clock }: Pick<ControlParts, "urls" | "clock">,
  hook: Hook,
): Record<string, unknown> {
  const { id, name, deploy } = hook;
  return {
    id,
    name,
    url: urls.ofHook(id),
    provider: hook.provider,
    function: hook.functionName,
    qualifier: hook.qualifier,
    state: stateOf(hook),
    project: hook.owner?.project,
    isPaused: hook.isPaused,
    signature: hook.hmac,
    secrets: activeSecrets(hook, clock.now()).map(({ createdAt, expiresAt }) => ({ createdAt, expiresAt })),
    deploy: deploy && {
      repo: deploy.repo,
      branch: deploy.branch,
      path: deploy.path,
      credential: deploy.credential?.kind,
    },
    description: hook.description,
    createdAt: hook.createdAt,
    modifiedAt: hook.modifiedAt,
  };
}

function stateOf(hook: Hook): string {
  if (!isOfLiveRelease(hook)) return "not live";
  if (hook.isPaused) return "paused";
  return hook.secrets.length === 0 ? "without secret" : "active";
}

/** `eventState` of an event that is no longer kept is `forgotten`. */
async function deliveryShape(
  { ledger }: Pick<ControlParts, "ledger">,
  delivery: HookDelivery,
): Promise<Record<string, unknown>> {
  const { hookId: _hookId, note, eventId, ...facts } = delivery;
  const event = eventId && (await ledger.find(eventId));
  return { ...facts, note, eventId, eventState: eventId && (event?.state ?? "forgotten") };
}
