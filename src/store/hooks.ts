import type { NewEvent } from "../core/event.ts";
import type { Deployment, Hook, HookDelivery } from "../core/hook.ts";
import type { DeliveryId, FunctionName, HookId } from "../core/ids.ts";

/**
 * Hooks, and what came to them. What a promise of a change resolves with is on disk. They go with their function.
 *
 * @throws PlatformError `StoreUnavailable`, `StorageFull` from any of them.
 */
export interface Hooks {
  /**
   * Creates or replaces.
   *
   * @throws PlatformError `FunctionNotFound`, unless it deploys; `ResourceConflict` if another one has its name, or
   * beyond `HOOKS_MAX`.
   */
  save(hook: Hook): Promise<void>;
  find(id: HookId): Promise<Hook | undefined>;
  findByName(name: string): Promise<Hook | undefined>;
  /** By name, ascending; `after` is exclusive. */
  list(page: { readonly after: string | undefined; readonly limit: number }): Promise<Hook[]>;
  /** With all its deliveries. Calls that are queued stay. */
  remove(id: HookId): Promise<boolean>;
  /**
   * Writes a delivery down together with what follows from it: its event is enqueued, or it waits to be deployed, and
   * takes the place of those of its hook that wait. Nothing of that happens if one of its marks is known.
   *
   * @throws PlatformError `TooManyEvents`; `ResourceNotFound` if the hook is gone.
   */
  take(delivery: NewDelivery, marks: ReplayMarks): Promise<Taken>;
  findDelivery(hookId: HookId, id: DeliveryId): Promise<HookDelivery | undefined>;
  /** Latest first; `before` is exclusive. About `HOOK_DELIVERIES_KEPT_MAX` are kept, and of those refused `HOOK_REFUSALS_KEPT_MAX`. */
  deliveries(
    hookId: HookId,
    page: { readonly before: DeliveryId | undefined; readonly limit: number },
  ): Promise<HookDelivery[]>;
  /** What was printed while it was built; empty if nothing was. */
  deploymentLog(id: DeliveryId): Promise<string>;
}

/** What there is to be deployed. Only one works on it. */
export interface Deployments {
  /** Those that wait, oldest first, each with its hook. */
  waiting(): Promise<{ readonly hook: Hook; readonly delivery: HookDelivery }[]>;
  /** What was being built when the daemon went away waits again. */
  recover(): Promise<void>;
  /** False if it no longer waits. */
  begin(id: DeliveryId, at: number): Promise<boolean>;
  /** Replaces the log of one that is being built. False if it is gone. */
  log(id: DeliveryId, text: string): Promise<boolean>;
  /** False if it is gone; `waiting` gives it back. */
  end(id: DeliveryId, ending: DeploymentEnding): Promise<boolean>;
  /** Whether that commit was deployed for the hook, or could not be. */
  hasTried(hookId: HookId, commit: string): Promise<boolean>;
}

export interface DeploymentEnding {
  readonly outcome: "deployed" | "failed" | "superseded" | "waiting";
  readonly note: string | undefined;
  readonly version: number | undefined;
  readonly log: string;
  readonly endedAt: number;
}

export interface NewDelivery extends Omit<HookDelivery, "id" | "eventId" | "deployment">, NewDeliveryWork {}

interface NewDeliveryWork {
  readonly functionName: FunctionName;
  /** With outcome `accepted`. */
  readonly event: NewEvent | undefined;
  /** With outcome `waiting`. */
  readonly deployment: Pick<Deployment, "commit" | "branch"> | undefined;
}

/** By what a delivery is known again. */
export interface ReplayMarks {
  /** Texts that no other delivery of the hook has. */
  readonly ids: readonly string[];
  /**
   * A text that another delivery may have, but only as long as the first one is so young: for senders that sign
   * neither id nor time.
   */
  readonly signed: { readonly text: string; readonly msMax: number } | undefined;
}

export const NO_MARKS: ReplayMarks = { ids: [], signed: undefined };

/** `first` is the delivery with the same mark; undefined if that is no longer listed. */
export type Taken =
  | { readonly kind: "taken"; readonly delivery: HookDelivery }
  | { readonly kind: "known"; readonly first: HookDelivery | undefined };
