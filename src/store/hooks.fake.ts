import { PlatformError } from "../core/errors.ts";
import type { Hook, HookDelivery } from "../core/hook.ts";
import type { FunctionName, HookId } from "../core/ids.ts";
import { HOOK_DELIVERIES_KEPT_MAX, HOOK_REFUSALS_KEPT_MAX } from "../core/limits.ts";
import type { EventQueue } from "./event-queue.ts";
import { deliveryIdOf } from "./event-sequence.ts";
import type { Deployments, Hooks } from "./hooks.ts";

/** Hooks in memory, for tests. */
export function fakeHooks(
  events: EventQueue,
  hasFunction: (name: FunctionName) => Promise<boolean>,
): {
  readonly hooks: Hooks;
  readonly deployments: Deployments;
  readonly functionDeleted: (name: FunctionName) => void;
} {
  const all = new Map<string, Hook>();
  let deliveries: HookDelivery[] = [];
  const logs = new Map<string, string>();
  const marks = new Map<string, { readonly at: number; readonly first: HookDelivery["id"] }>();
  let last = 0;

  const byName = () => [...all.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const of = (id: HookId) => deliveries.filter(({ hookId }) => hookId === id);

  function change(id: string, from: HookDelivery["outcome"], changed: Partial<HookDelivery>): boolean {
    const found = deliveries.find((each) => each.id === id && each.outcome === from);
    deliveries = deliveries.map((each) => (each === found ? { ...each, ...changed } : each));
    return found !== undefined;
  }

  async function remove(id: HookId): Promise<boolean> {
    deliveries = deliveries.filter(({ hookId }) => hookId !== id);
    return all.delete(id);
  }

  function forget(hookId: HookId, isRefused: boolean, max: number): void {
    const old = of(hookId)
      .filter(({ outcome }) => (outcome === "refused") === isRefused)
      .slice(0, -max);
    deliveries = deliveries.filter((each) => !old.includes(each));
  }

  const hooks: Hooks = {
    async save(hook) {
      if (!hook.deploy && !(await hasFunction(hook.functionName))) {
        throw new PlatformError("FunctionNotFound", `function "${hook.functionName}" does not exist`);
      }
      const holder = byName().find(({ name }) => name === hook.name);
      if (holder && holder.id !== hook.id)
        throw new PlatformError("ResourceConflict", `hook ${hook.name} exists`);
      all.set(hook.id, structuredClone(hook));
    },
    find: async (id) => structuredClone(all.get(id)),
    findByName: async (name) => structuredClone(byName().find((hook) => hook.name === name)),
    list: async ({ after, limit }) =>
      byName()
        .filter(({ name }) => after === undefined || name > after)
        .slice(0, limit),
    remove,
    async take(delivery, { ids, signed }) {
      const { functionName: _name, event, deployment, ...facts } = delivery;
      const { hookId, at } = facts;
      if (!all.has(hookId))
        throw new PlatformError("ResourceNotFound", `there is no hook ${hookId} any more`);
      const known =
        ids.map((text) => marks.get(`${hookId} ${text}`)).find((mark) => mark !== undefined) ??
        (signed &&
          [marks.get(`${hookId} ${signed.text}`)].find((mark) => mark && mark.at < at - signed.msMax));
      if (known) return { kind: "known", first: deliveries.find(({ id }) => id === known.first) };
      last += 1;
      const id = deliveryIdOf(last);
      for (const text of signed ? [...ids, signed.text] : ids) {
        if (!marks.has(`${hookId} ${text}`)) marks.set(`${hookId} ${text}`, { at, first: id });
      }
      const enqueued = event && (await events.enqueue(event, { idempotencyKey: undefined }));
      const made: HookDelivery = {
        ...facts,
        id,
        eventId: enqueued?.id,
        deployment: deployment && {
          ...deployment,
          attempts: 0,
          startedAt: undefined,
          endedAt: undefined,
          version: undefined,
        },
      };
      if (made.outcome === "waiting") {
        const note = "a newer push came before it was begun";
        for (const { id: olderId, deployment: old } of of(hookId)) {
          change(olderId, "waiting", {
            outcome: "superseded",
            note,
            deployment: old && { ...old, endedAt: at },
          });
        }
      }
      deliveries.push(made);
      forget(hookId, true, HOOK_REFUSALS_KEPT_MAX);
      forget(hookId, false, HOOK_DELIVERIES_KEPT_MAX);
      return { kind: "taken", delivery: made };
    },
    findDelivery: async (hookId, id) => of(hookId).find((delivery) => delivery.id === id),
    deliveries: async (hookId, { before, limit }) =>
      of(hookId)
        .filter(({ id }) => before === undefined || id < before)
        .reverse()
        .slice(0, limit),
    deploymentLog: async (id) => logs.get(id) ?? "",
  };

  const deployments: Deployments = {
    async waiting() {
      return deliveries.flatMap((delivery) => {
        const hook = all.get(delivery.hookId);
        return hook && delivery.outcome === "waiting" ? [{ hook, delivery }] : [];
      });
    },
    async recover() {
      for (const { id } of deliveries) {
        change(id, "building", {
          outcome: "waiting",
          note: "the daemon went away in the middle; tried again",
        });
      }
    },
    async begin(id, at) {
      const deployment = deliveries.find((each) => each.id === id)?.deployment;
      return change(id, "waiting", {
        outcome: "building",
        deployment: deployment && { ...deployment, attempts: deployment.attempts + 1, startedAt: at },
      });
    },
    async log(id, text) {
      logs.set(id, text);
      return deliveries.some((each) => each.id === id && each.outcome === "building");
    },
    async end(id, { outcome, note, version, log, endedAt }) {
      const deployment = deliveries.find((each) => each.id === id)?.deployment;
      logs.set(id, log);
      return change(id, "building", {
        outcome,
        note,
        deployment: deployment && { ...deployment, version, endedAt },
      });
    },
    hasTried: async (hookId, commit) =>
      of(hookId).some(
        ({ outcome, deployment }) =>
          (outcome === "deployed" || outcome === "failed") && deployment?.commit === commit,
      ),
  };
  return {
    hooks,
    deployments,
    functionDeleted(name) {
      for (const { id } of byName().filter(({ functionName }) => functionName === name)) void remove(id);
    },
  };
}
