import { randomBytes } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { PlatformError } from "../../core/errors.ts";

/** As long as AWS's presigned locations are good for. */
const LINK_MS = 10 * 60_000;
/** The oldest link ends early when there are more. */
const LINKS_MAX = 1_000;

/** Links under which the archive of a version can be fetched for a while, by whoever has the link. */
export interface CodeLinks {
  /** Path with a fresh secret in it: `/_code/…`. */
  issue(archiveSha256: string): string;
  /** The archive's hash. @throws PlatformError `ResourceNotFound` for an unknown or expired link. */
  resolve(token: string): string;
}

export function newCodeLinks(clock: Clock): CodeLinks {
  const links = new Map<string, { readonly archiveSha256: string; readonly expiresAt: number }>();
  return {
    issue(archiveSha256) {
      const oldest = links.keys().next();
      if (links.size >= LINKS_MAX && !oldest.done) links.delete(oldest.value);
      const token = randomBytes(24).toString("base64url");
      links.set(token, { archiveSha256, expiresAt: clock.now() + LINK_MS });
      return `/_code/${token}`;
    },
    resolve(token) {
      const link = links.get(token);
      if (!link || link.expiresAt <= clock.now()) {
        links.delete(token);
        throw new PlatformError(
          "ResourceNotFound",
          "this link is unknown or has expired; ask for the function again",
        );
      }
      return link.archiveSha256;
    },
  };
}
