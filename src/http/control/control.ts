import { PlatformError } from "../../core/errors.ts";
import { type Address, type Listener, listen } from "../listener.ts";
import type { Answering } from "./answering.ts";
import type { ControlParts } from "./parts.ts";

/** For a whole request to arrive: an archive over a slow line. */
const REQUEST_MS_MAX = 15 * 60_000;
/** When nobody has asked yet, the rest of the control API is loaded so long after the start. */
const PRELOAD_AFTER_MS = 50;

/**
 * Starts the control listener: the AWS Lambda API and our own.
 *
 * Only the listener itself is loaded at once, so that the daemon serves soon; what answers comes in a quiet moment or
 * with the first request, whichever is first.
 *
 * @throws PlatformError as `listen` does.
 */
export async function openControl(parts: ControlParts): Promise<Listener> {
  const closing = new AbortController();
  const bound = Promise.withResolvers<Address>();
  let loaded: Promise<Answering> | undefined;
  const answering = () => {
    loaded ??= loadAnswering(parts, bound.promise, closing.signal);
    return loaded;
  };

  const listener = await listen({
    host: parts.host,
    port: parts.port,
    setting: "--control or LAMBDAD_CONTROL",
    log: parts.log,
    requestMsMax: REQUEST_MS_MAX,
    drainMs: parts.drainMs,
    handler: async (request, response) => (await answering()).handler(request, response),
    handlesContinue: true,
  });
  bound.resolve(listener.address);
  const preload = setTimeout(() => {
    // A failure here comes again with the first request, which can be told.
    answering()
      .then((loaded) => loaded.preload())
      .catch((error: unknown) => parts.log.error("cannot load the control API", { error }));
  }, PRELOAD_AFTER_MS);
  preload.unref();

  return {
    address: listener.address,
    async [Symbol.asyncDispose]() {
      clearTimeout(preload);
      closing.abort(new PlatformError("ShuttingDown", "the daemon is stopping"));
      await listener[Symbol.asyncDispose]();
    },
  };
}

async function loadAnswering(
  parts: ControlParts,
  bound: Promise<Address>,
  closing: AbortSignal,
): Promise<Answering> {
  const { newAnswering } = await import("./answering.ts");
  return newAnswering(parts, await bound, closing);
}
