import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import type { DeployRule, Hook, HookDelivery, HookProvider } from "../core/hook.ts";
import { type DeliveryId, newHookId, newInvocationId, parseHookId } from "../core/ids.ts";
import { isOfLiveRelease } from "../core/project.ts";
import type { EventLedger } from "../store/event-queue.ts";
import { type Hooks, type NewDelivery, NO_MARKS } from "../store/hooks.ts";
import type { Functions } from "./functions.ts";
import { secretFor } from "./hook-releases.ts";
import { type GivenCredential, type SecretBox, sealCredential, withNewSecret } from "./hook-secrets.ts";
import type { Turns } from "./turns.ts";

/** A hook as somebody wants it. */
export type NewHook = Pick<
  Hook,
  "name" | "description" | "functionName" | "qualifier" | "provider" | "hmac" | "isPaused"
> & {
  /** The sender's; undefined has one made, where it is not the sender who makes them. */
  readonly secret: string | undefined;
  readonly deploy:
    | (Omit<DeployRule, "credential"> & { readonly credential: GivenCredential | undefined })
    | undefined;
};

/** `secret` was made here, and is told this once. */
export interface IssuedHook {
  readonly hook: Hook;
  readonly secret: string | undefined;
}

/**
 * The rules by which hooks change. Changes of one hook are made one after the other. `name` may be its id as well.
 *
 * All throw PlatformError `ResourceNotFound` for a hook, or a delivery, that is not there; `ResourceConflict` for what only
 * the project of a hook decides.
 */
export interface HookBook {
  get(name: string): Promise<Hook>;
  list(page: { readonly after: string | undefined; readonly limit: number }): Promise<Hook[]>;
  /**
   * @throws PlatformError `InvalidRequest` for a secret that cannot be, or a provider that sends no pushes;
   * `FunctionNotFound`, `AliasNotFound`, `VersionNotFound`; `ResourceConflict` if the name is taken.
   */
  create(wanted: NewHook): Promise<IssuedHook>;
  /**
   * Gives it another secret; the one it had stays good for `overlapMs`.
   *
   * @throws PlatformError `InvalidRequest`
   */
  rotate(
    name: string,
    change: { readonly secret: string | undefined; readonly overlapMs: number },
  ): Promise<IssuedHook>;
  setPaused(name: string, isPaused: boolean): Promise<Hook>;
  remove(name: string): Promise<void>;
  deliveries(
    hook: Hook,
    page: { readonly before: DeliveryId | undefined; readonly limit: number },
  ): Promise<HookDelivery[]>;
  getDelivery(hook: Hook, id: DeliveryId): Promise<HookDelivery>;
  deploymentLog(id: DeliveryId): Promise<string>;
  /**
   * Does again what followed from a delivery, as a delivery of its own: enqueues its event, or deploys its commit.
   *
   * @throws PlatformError `ResourceConflict` if nothing followed from it, or its event is no longer kept.
   */
  redeliver(hook: Hook, id: DeliveryId, sourceIp: string): Promise<HookDelivery>;
}

export function openHookBook(parts: {
  readonly hooks: Hooks;
  readonly ledger: Pick<EventLedger, "findWork">;
  readonly functions: Pick<Functions, "resolve">;
  readonly box: SecretBox;
  /** Of hooks, by id: whoever else changes them takes them too. */
  readonly turns: Turns;
  /** Told when there is something to deploy. */
  readonly deploymentWaits: () => void;
  readonly clock: Clock;
}): HookBook {
  const { hooks, ledger, functions, box, turns, deploymentWaits, clock } = parts;

  async function get(name: string): Promise<Hook> {
    const id = parseHookId(name);
    const hook = await (id ? hooks.find(id) : hooks.findByName(name));
    if (hook) return hook;
    throw new PlatformError(
      "ResourceNotFound",
      `there is no hook ${JSON.stringify(name)}; lambda hook list shows them`,
    );
  }

  async function change(name: string, changed: (hook: Hook) => Partial<Hook>): Promise<Hook> {
    const { id } = await get(name);
    return await turns.take(id, async () => {
      const hook = await get(id);
      const saved = { ...hook, ...changed(hook), modifiedAt: clock.now() };
      await hooks.save(saved);
      return saved;
    });
  }

  async function getDelivery(hook: Hook, id: DeliveryId): Promise<HookDelivery> {
    const delivery = await hooks.findDelivery(hook.id, id);
    if (delivery) return delivery;
    throw new PlatformError(
      "ResourceNotFound",
      `hook ${hook.name} has no delivery ${id}; lambda hook deliveries ${hook.name} shows those that are kept`,
    );
  }

  return {
    get,
    list: (page) => hooks.list(page),
    async create(wanted) {
      const { secret: given, deploy, ...facts } = wanted;
      if (deploy) refuseWithoutPushes(wanted.provider);
      // A function that is deployed by it may not be there yet.
      else await functions.resolve(wanted.functionName, wanted.qualifier);
      const id = newHookId();
      const now = clock.now();
      const { secret, made } = secretFor(wanted.provider, given);
      const hook: Hook = {
        ...facts,
        id,
        secrets: secret === undefined ? [] : withNewSecret(box, { id, secrets: [] }, secret, now, 0),
        deploy: deploy && {
          ...deploy,
          credential: deploy.credential && sealCredential(box, id, deploy.credential),
        },
        owner: undefined,
        createdAt: now,
        modifiedAt: now,
      };
      await hooks.save(hook);
      return { hook, secret: made };
    },
    async rotate(name, { secret: given, overlapMs }) {
      const { provider } = await get(name);
      const { secret, made } = secretFor(provider, given);
      if (secret === undefined) {
        throw new PlatformError(
          "InvalidRequest",
          `${provider} makes its secrets itself: bring the new one, with --secret-from-stdin`,
        );
      }
      const hook = await change(name, (old) => ({
        secrets: withNewSecret(box, old, secret, clock.now(), overlapMs),
      }));
      return { hook, secret: made };
    },
    // Of a project until its next release, which has it as lambda.yaml says.
    setPaused: (name, isPaused) => change(name, () => ({ isPaused })),
    async remove(name) {
      const { id } = await get(name);
      await turns.take(id, async () => {
        const hook = await get(id);
        if (hook.owner?.isLive) {
          throw new PlatformError(
            "ResourceConflict",
            `hook ${hook.name} belongs to project ${hook.owner.project}; take it out of lambda.yaml and run lambda deploy there`,
          );
        }
        await hooks.remove(id);
      });
    },
    deliveries: (hook, page) => hooks.deliveries(hook.id, page),
    getDelivery,
    deploymentLog: (id) => hooks.deploymentLog(id),
    async redeliver(hook, id, sourceIp) {
      if (!isOfLiveRelease(hook)) {
        throw new PlatformError(
          "ResourceConflict",
          `hook ${hook.name} is not in the live release of project ${hook.owner?.project}; lambda rollback goes to one that has it`,
        );
      }
      const old = await getDelivery(hook, id);
      const again: NewDelivery = {
        hookId: hook.id,
        functionName: hook.functionName,
        at: clock.now(),
        note: undefined,
        senderId: old.senderId,
        eventType: old.eventType,
        sourceIp,
        bodyBytes: old.bodyBytes,
        repeats: old.id,
        ...(await workOf(hook, old)),
      };
      const taken = await hooks.take(again, NO_MARKS);
      if (taken.kind === "known")
        throw new PlatformError("Internal", "a redelivery was taken for a repetition");
      if (again.outcome === "waiting") deploymentWaits();
      return taken.delivery;
    },
  };

  async function workOf(
    hook: Hook,
    { id, outcome, deployment, eventId }: HookDelivery,
  ): Promise<Pick<NewDelivery, "outcome" | "event" | "deployment">> {
    if (deployment) {
      const { commit, branch } = deployment;
      return { outcome: "waiting", event: undefined, deployment: { commit, branch } };
    }
    if (eventId === undefined) {
      throw new PlatformError(
        "ResourceConflict",
        `nothing followed from delivery ${id}, which was ${outcome}; only those that were taken can be repeated`,
      );
    }
    const work = await ledger.findWork(eventId);
    if (work?.kind !== "call") {
      throw new PlatformError(
        "ResourceConflict",
        `event ${eventId} of delivery ${id} is no longer kept (event-results); have the sender send it again`,
      );
    }
    const event = {
      functionName: hook.functionName,
      invocationId: newInvocationId(),
      work: { ...work, qualifier: hook.qualifier },
      traceId: undefined,
      depth: 0,
      origin: `hook ${hook.name}`,
    };
    return { outcome: "accepted", event, deployment: undefined };
  }
}

function refuseWithoutPushes(provider: HookProvider): void {
  if (provider !== "stripe" && provider !== "slack") return;
  throw new PlatformError(
    "InvalidRequest",
    `a hook of ${provider} cannot deploy, since ${provider} sends no pushes; use github, gitlab, hmac or standard`,
  );
}
