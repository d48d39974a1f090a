/**
 * Credentials that an instance finds in its environment, so that AWS's SDKs in it reach this server's Lambda API: only
 * where its function may invoke others (`--allow invoke:PATTERN`), for nothing but those calls, and only as long as the
 * instance takes calls. They are never stored, and no key of a person is ever among them (decision 0007).
 */
import type { Grants } from "../../invoker/grants.ts";
import type { KeyRing } from "./keys.ts";

export function newGrants(parts: {
  readonly keys: Promise<Pick<KeyRing, "issueTemporary">>;
  /** Of control, on loopback; known once it listens. */
  readonly controlUrl: Promise<string>;
}): Grants {
  return {
    async issue({ functionName, config }, release) {
      const { mayInvoke = [] } = config;
      // Only the host's network leads to the host's loopback.
      if (mayInvoke.length === 0 || config.network !== "host") return undefined;
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
    },
  };
}
