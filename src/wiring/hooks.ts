import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { KeyRing } from "../http/control/keys.ts";
import type { ReceiveHook } from "../http/hooks/hook-request.ts";
import type { Functions } from "../registry/functions.ts";
import { HOOK_SECRETS } from "../registry/hook-secrets.ts";
import type { Hooks } from "../store/hooks.ts";
import { once } from "./once.ts";

/** What answers senders of hooks, loaded with the first of them. */
export function hookReceiver(parts: {
  readonly hooks: Hooks;
  readonly functions: Functions;
  readonly keys: Promise<KeyRing>;
  readonly deploymentWaits: () => void;
  readonly clock: Clock;
  readonly log: Log;
}): ReceiveHook {
  const receiver = once(async () => {
    const [{ newHookReceiver }, keys] = await Promise.all([import("../http/hooks/receive.ts"), parts.keys]);
    return newHookReceiver({ ...parts, box: keys.sealerFor(HOOK_SECRETS) });
  });
  return async (request) => (await receiver())(request);
}
