import { formatRelease, type ReleaseRef } from "../core/project.ts";
import type { Release } from "../core/release.ts";
import type { ReleaseDoors } from "../http/control/grants.ts";
import type { Gateway } from "../http/gateway/gateway.ts";
import type { ReleaseListener } from "../registry/projects.ts";
import type { Projects } from "../store/projects.ts";

/** What is told of releases by those who make them, and asked by those who start instances in them. */
export interface ReleaseWiring {
  readonly doors: ReleaseDoors;
  readonly listener: ReleaseListener;
  find(release: ReleaseRef): Promise<Release | undefined>;
  /** Nothing runs in it any more. */
  unused(release: ReleaseRef): void;
}

export function wireReleases(parts: {
  readonly projects: Pick<Projects, "findRelease">;
  readonly domains: readonly string[];
  /** Known once it listens, before any instance is started. */
  readonly gateway: () => Gateway;
  readonly instances: () => Pick<ReleaseListener, "releaseLive" | "releaseLetGo">;
}): ReleaseWiring {
  /** Releases that are being started, and are not stored yet. */
  const starting = new Map<string, Release>();
  // Names below other domains are in the DNS, and may mean a proxy in front of us.
  const domains = parts.domains.filter((domain) => domain === "localhost" || domain.endsWith(".localhost"));
  const find = async (ref: ReleaseRef) =>
    starting.get(formatRelease(ref)) ?? (await parts.projects.findRelease(ref.project, ref.number));
  return {
    find,
    doors: {
      async open(ref) {
        const [address, release] = await Promise.all([parts.gateway().releases.open(ref), find(ref)]);
        if (!address || !release) return undefined;
        const names = release.functions.flatMap(({ name }) =>
          domains.map((domain) => `${name.toLowerCase()}.${domain}`),
        );
        return { ...address, names };
      },
    },
    listener: {
      releaseStarting: (release) => void starting.set(formatRelease(release), release),
      releaseMade: (preview) => void starting.delete(formatRelease(preview)),
      releaseLive(live) {
        starting.delete(formatRelease(live));
        parts.instances().releaseLive(live);
      },
      releaseLetGo(old) {
        starting.delete(formatRelease(old));
        parts.instances().releaseLetGo(old);
      },
    },
    unused: (release) => parts.gateway().releases.close(release),
  };
}
