import type { Clock } from "../core/clock.ts";
import type { SourceId } from "../core/ids.ts";
import type { Source } from "../core/source.ts";
import type { Store } from "../store/store.ts";
import { type HooksOfReleases, hooksOfReleases } from "./hook-releases.ts";
import type { SecretBox } from "./hook-secrets.ts";
import { type SourcesOfReleases, sourcesOfReleases } from "./source-releases.ts";
import { Turns } from "./turns.ts";

/** Seals by writing the id beside the secret. */
export const openBox: SecretBox = {
  seal: (id, secret) => JSON.stringify([id, secret]),
  unseal(id, sealed) {
    const [boundTo, secret] = JSON.parse(sealed);
    return boundTo === id ? secret : undefined;
  },
};

/** Hooks and sources of releases, for tests. `inspect` stands for the queues' servers, `changed` for their pollers. */
export function triggersOf(
  store: Pick<Store, "hooks" | "sources">,
  clock: Clock,
  {
    inspect = () => {},
    changed = () => {},
  }: {
    readonly inspect?: (source: Pick<Source, "id" | "origin">) => void;
    readonly changed?: (id: SourceId) => void;
  } = {},
): { readonly hooks: HooksOfReleases; readonly sources: SourcesOfReleases } {
  return {
    hooks: hooksOfReleases({ hooks: store.hooks, box: openBox, turns: new Turns(), clock }),
    sources: sourcesOfReleases({
      sources: store.sources,
      async inspect(source) {
        inspect(source);
        return { kind: "sqs", visibilityMs: 30_000, isFifo: false };
      },
      seal: async (id, secret) => openBox.seal(id, secret),
      unseal: async (id, sealed) => openBox.unseal(id, sealed),
      changed,
      clock,
    }),
  };
}
