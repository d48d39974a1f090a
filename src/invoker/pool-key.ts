import { formatRelease, type ReleaseRef } from "../core/project.ts";
import type { Target } from "../registry/target.ts";

/**
 * Which calls share instances: those of one revision and, where the function can call others, of one release, since
 * what an instance calls is to stay in its release and nothing else tells which one that is (decision 0017).
 */
export function poolKey(target: Target): string {
  const { revisionId, label } = target.version;
  const release = poolRelease(target);
  return release ? `${revisionId} ${label} ${formatRelease(release)}` : `${revisionId} ${label}`;
}

/** The release that the instances for this target belong to alone. */
export function poolRelease({ release, version }: Target): ReleaseRef | undefined {
  // Without the host's network nothing here can be called.
  return version.config.network === "host" ? release : undefined;
}
