/**
 * Credentials that an instance finds in its environment, so that AWS's SDKs in it reach this server's Lambda API: only
 * where its function may invoke others (`--allow invoke:PATTERN`), for nothing but those calls, and only as long as the
 * instance takes calls. They are never stored, and no key of a person is ever among them (decision 0007).
 */
import type { Version } from "../../core/function.ts";
import { formatRelease, type ReleaseRef } from "../../core/project.ts";
import type { Grant, Grants } from "../../invoker/grants.ts";
import type { KeyRing } from "./keys.ts";

/** The way out of a release to the gateway. */
export interface ReleaseDoors {
  /** Undefined where there is none. `names` are the hosts of the release's functions. */
  open(
    release: ReleaseRef,
  ): Promise<{ readonly host: string; readonly url: string; readonly names: readonly string[] } | undefined>;
}

export function newGrants(parts: {
  readonly keys: Promise<Pick<KeyRing, "issueTemporary">>;
  /** Of control, on loopback; known once it listens. */
  readonly controlUrl: Promise<string>;
  /** Where instances of a release reach the gateway, and what they may call there. */
  readonly releases?: ReleaseDoors | undefined;
}): Grants {
  async function door(release: ReleaseRef | undefined): Promise<Grant | undefined> {
    const found = release && (await parts.releases?.open(release));
    if (!release || !found) return undefined;
    const { host, url, names } = found;
    return {
      environment: { LAMBDAD_RELEASE: formatRelease(release), LAMBDAD_URL: url },
      // Some resolvers read no more than 512 characters of a line.
      hosts: names.map((name) => `${host} ${name}\n`).join(""),
      revoke: () => undefined,
    };
  }

  async function credentials(
    { functionName, config: { mayInvoke = [] } }: Version,
    release: ReleaseRef | undefined,
  ): Promise<Grant | undefined> {
    if (mayInvoke.length === 0) return undefined;
    const [keys, controlUrl] = await Promise.all([parts.keys, parts.controlUrl]);
    const issued = keys.issueTemporary({
      description: `an instance of ${functionName}`,
      functions: mayInvoke.join(","),
      release,
    });
    return {
      environment: {
        AWS_ENDPOINT_URL_LAMBDA: controlUrl,
        AWS_ACCESS_KEY_ID: issued.id,
        AWS_SECRET_ACCESS_KEY: issued.secret,
        AWS_SESSION_TOKEN: issued.sessionToken,
      },
      revoke: () => issued.revoke(),
    };
  }

  return {
    async issue(version, release) {
      // Only the host's network leads to the host's loopback.
      if (version.config.network !== "host") return undefined;
      const [found, issued] = await Promise.all([door(release), credentials(version, release)]);
      if (!found || !issued) return found ?? issued;
      return { ...found, ...issued, environment: { ...found.environment, ...issued.environment } };
    },
  };
}
