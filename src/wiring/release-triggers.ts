import type { Clock } from "../core/clock.ts";
import type { KeyRing } from "../http/control/keys.ts";
import type { SourceWork } from "../http/control/parts.ts";
import { type HooksOfReleases, hooksOfReleases } from "../registry/hook-releases.ts";
import { HOOK_SECRETS } from "../registry/hook-secrets.ts";
import { type SourcesOfReleases, sourcesOfReleases } from "../registry/source-releases.ts";
import type { Turns } from "../registry/turns.ts";
import type { Store } from "../store/store.ts";

/** What belongs to projects without being in the routing: it changes with their releases, and keeps what others know it by. */
export async function openReleaseTriggers(parts: {
  readonly store: Pick<Store, "hooks" | "sources">;
  readonly keys: Promise<KeyRing>;
  readonly hookTurns: Turns;
  readonly sourceWork: SourceWork;
  readonly clock: Clock;
}): Promise<{ readonly hooks: HooksOfReleases; readonly sources: SourcesOfReleases }> {
  const { store, hookTurns, sourceWork, clock } = parts;
  const box = (await parts.keys).sealerFor(HOOK_SECRETS);
  return {
    hooks: hooksOfReleases({ hooks: store.hooks, box, turns: hookTurns, clock }),
    sources: sourcesOfReleases({
      sources: store.sources,
      inspect: (source) => sourceWork.inspect(source),
      seal: (id, secret) => sourceWork.seal(id, secret),
      unseal: (id, sealed) => sourceWork.unseal(id, sealed),
      changed: (id) => sourceWork.changed(id),
      clock,
    }),
  };
}
