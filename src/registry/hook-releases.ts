import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import type { Hook, HookProvider } from "../core/hook.ts";
import { newHookSecret, secretProblem } from "../core/hook-secret.ts";
import { type HookId, newHookId } from "../core/ids.ts";
import { HOOK_SECRET_OVERLAP_MS_DEFAULT } from "../core/limits.ts";
import type { ProjectName } from "../core/project.ts";
import type { Release, ReleasedHook } from "../core/release.ts";
import type { Hooks } from "../store/hooks.ts";
import { type SecretBox, usableSecrets, withNewSecret } from "./hook-secrets.ts";
import type { Turns } from "./turns.ts";

/** A hook as somebody wants it in a release. */
export type WantedHook = Omit<ReleasedHook, "id"> & {
  /** Undefined leaves it the one it has; one that has none gets one, where it is not the sender who makes them. */
  readonly secret: string | undefined;
  /** What the secret is called where it is kept; one that has a name is not made here. */
  readonly secretName: string | undefined;
};

/** Of a hook that has become another one; `secret` was made here, and is told this once. */
export interface HookNews {
  readonly hook: Hook;
  readonly change: "added" | "new secret";
  readonly secret: string | undefined;
}

export interface HookDraft {
  readonly hooks: readonly ReleasedHook[];
  readonly secrets: ReadonlyMap<HookId, string>;
  /** Names of those that have another secret so far. */
  readonly rotated: readonly string[];
}

export const NO_HOOKS: HookDraft = { hooks: [], secrets: new Map(), rotated: [] };

/** What becomes of hooks when a release of their project is made or goes live. */
export interface HooksOfReleases {
  /**
   * As the release would have them, each with the id that it has or is to have. `releases` are those made before.
   *
   * @throws PlatformError `ResourceConflict` for one that is somebody else's; `InvalidRequest` for a secret that cannot be,
   * or is missing.
   */
  draft(wanted: readonly WantedHook[], context: ReleaseContext): Promise<HookDraft>;
  /**
   * What is to be stored for them to be these; changes nothing. Where the release does not go live yet, only those that are
   * new, which wait.
   *
   * @throws PlatformError `ResourceConflict`
   */
  planOf(
    draft: HookDraft,
    context: Pick<ReleaseContext, "project" | "adopts"> & {
      readonly isLive: boolean;
      readonly live: Pick<Release, "hooks"> | undefined;
    },
  ): Promise<{ readonly saved: readonly Hook[]; readonly news: readonly HookNews[] }>;
  /** Gives secrets to hooks that otherwise stay as they are. */
  giveSecrets(draft: HookDraft): Promise<HookNews[]>;
  /** Runs `work` while nobody else changes any of them. */
  inTurns<T>(ids: readonly HookId[], work: () => Promise<T>): Promise<T>;
}

export interface ReleaseContext {
  readonly project: ProjectName;
  readonly releases: readonly Release[];
  /** Whether those of nobody become the project's. */
  readonly adopts: boolean;
}

export function hooksOfReleases(parts: {
  readonly hooks: Pick<Hooks, "find" | "findByName" | "save">;
  readonly box: SecretBox;
  /** By id. */
  readonly turns: Turns;
  readonly clock: Clock;
}): HooksOfReleases {
  const { hooks, box, turns, clock } = parts;

  function rotated(hook: Hook, secret: string): Hook {
    const now = clock.now();
    const secrets = withNewSecret(box, hook, secret, now, HOOK_SECRET_OVERLAP_MS_DEFAULT);
    return { ...hook, secrets, modifiedAt: now };
  }

  function isNewSecret(hook: Hook, secret: string | undefined): secret is string {
    return secret !== undefined && usableSecrets(box, hook, clock.now())[0] !== secret;
  }

  function inTurns<T>(ids: readonly HookId[], work: () => Promise<T>): Promise<T> {
    const inOrder = [...new Set(ids)].sort();
    return inOrder.reduceRight<() => Promise<T>>((inner, id) => () => turns.take(id, inner), work)();
  }

  /** One that is not there (any more), as it is the first time. */
  function added(released: ReleasedHook, given: string | undefined, owner: Hook["owner"]): HookNews {
    const now = clock.now();
    const { id, provider } = released;
    const { secret, made } = secretFor(provider, given);
    const secrets = secret === undefined ? [] : withNewSecret(box, { id, secrets: [] }, secret, now, 0);
    const facts = { qualifier: undefined, deploy: undefined, createdAt: now, modifiedAt: now };
    return { hook: { ...released, ...facts, secrets, owner }, change: "added", secret: made };
  }

  /** `before`, as the release has it. What signs otherwise needs another secret at once. */
  function changed(before: Hook, released: ReleasedHook, given: string | undefined, owner: Hook["owner"]) {
    const hook: Hook = { ...before, ...released, qualifier: undefined, owner };
    const { provider } = released;
    if (provider === before.provider) {
      return isNewSecret(before, given)
        ? { hook: rotated(hook, given), secret: undefined, isNews: true }
        : { hook, secret: undefined, isNews: false };
    }
    const { secret, made } = secretFor(provider, given);
    const secrets = secret === undefined ? [] : withNewSecret(box, hook, secret, clock.now(), 0);
    return { hook: { ...hook, secrets }, secret: made, isNews: true };
  }

  return {
    inTurns,
    async draft(wanted, { project, releases, adopts }) {
      const drafted: ReleasedHook[] = [];
      const secrets = new Map<HookId, string>();
      const news: string[] = [];
      for (const { secret, secretName, ...hook } of wanted) {
        const before = await hooks.findByName(hook.name);
        if (before) refuseForeign(before, project, adopts);
        const known = releases.flatMap((each) => each.hooks).find(({ name }) => name === hook.name);
        const id = before?.id ?? known?.id ?? newHookId();
        if (secret !== undefined) {
          secretFor(hook.provider, secret);
          secrets.set(id, secret);
          if (before && isNewSecret(before, secret)) news.push(hook.name);
        } else if (secretName !== undefined && (!before || before.secrets.length === 0)) {
          throw new PlatformError(
            "InvalidRequest",
            `hook ${hook.name}: it has no secret yet, and ${secretName} is not set; set it where lambda deploy runs`,
          );
        }
        drafted.push({ ...hook, id });
      }
      return { hooks: drafted, secrets, rotated: news };
    },
    async planOf({ hooks: wanted, secrets }, { project, live, isLive, adopts }) {
      const saved: Hook[] = [];
      const news: HookNews[] = [];
      const owner = { project, isLive };
      for (const released of wanted) {
        const given = secrets.get(released.id);
        const before = await hooks.find(released.id);
        if (!before) {
          const other = await hooks.findByName(released.name);
          if (other) refuseForeign(other, project, false);
          const made = added(released, given, owner);
          saved.push(made.hook);
          news.push(made);
        } else if (isLive) {
          refuseForeign(before, project, adopts);
          const { hook, secret, isNews } = changed(before, released, given, owner);
          if (isDeepStrictEqual(hook, before)) continue;
          saved.push({ ...hook, modifiedAt: clock.now() });
          if (isNews) news.push({ hook, change: "new secret", secret });
        }
      }
      if (!isLive) return { saved, news };
      for (const { id } of live?.hooks ?? []) {
        const before = wanted.some((each) => each.id === id) ? undefined : await hooks.find(id);
        if (before?.owner?.project !== project) continue;
        saved.push({ ...before, owner: { project, isLive: false }, modifiedAt: clock.now() });
      }
      return { saved, news };
    },
    async giveSecrets({ secrets }) {
      const news: HookNews[] = [];
      for (const [id, secret] of secrets) {
        await turns.take(id, async () => {
          const before = await hooks.find(id);
          if (!before || !isNewSecret(before, secret)) return;
          const hook = rotated(before, secret);
          await hooks.save(hook);
          news.push({ hook, change: "new secret", secret: undefined });
        });
      }
      return news;
    },
  };
}

/** `made` is set if nobody has it yet. @throws PlatformError `InvalidRequest` for one that cannot be. */
export function secretFor(
  provider: HookProvider,
  given: string | undefined,
): { readonly secret: string | undefined; readonly made: string | undefined } {
  if (given === undefined) {
    const made = newHookSecret(provider);
    return { secret: made, made };
  }
  const problem = secretProblem(provider, given);
  if (problem !== undefined)
    throw new PlatformError("InvalidRequest", `the secret cannot be used: ${problem}`);
  return { secret: given, made: undefined };
}

function refuseForeign({ name, owner, deploy }: Hook, project: ProjectName, adopts: boolean): void {
  if (owner?.project === project) return;
  if (owner) {
    throw conflict(`hook "${name}" belongs to project "${owner.project}"; give one of them another name`);
  }
  if (deploy) throw conflict(`hook "${name}" exists and deploys a repository; give one of them another name`);
  if (adopts) return;
  throw conflict(
    `hook "${name}" exists and is not of project "${project}"; give one of them another name, or make it part of the project, with its address and secrets, by --adopt, which is for what goes live at once`,
  );
}

function conflict(message: string): PlatformError {
  return new PlatformError("ResourceConflict", message);
}
