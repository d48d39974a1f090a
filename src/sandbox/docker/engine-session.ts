import { isPlatformError, PlatformError } from "../../core/errors.ts";
import { Engine } from "./engine.ts";
import { isRefusal } from "./engine-problem.ts";

/**
 * Work on the engine as it is now, on a connection of its own. Refusals come through; whatever else breaks is the engine's.
 *
 * @throws PlatformError `EngineUnavailable`; `signal.reason` when aborted.
 */
export async function withEngine<T>(
  findSocket: () => string,
  signal: AbortSignal,
  use: (engine: Engine) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  using engine = new Engine(findSocket());
  await engine.negotiate({ signal });
  try {
    return await use(engine);
  } catch (error) {
    signal.throwIfAborted();
    if (isPlatformError(error) || isRefusal(error, 400, 404, 409, 500)) throw error;
    throw new PlatformError("EngineUnavailable", `the container engine failed: ${String(error)}`, {
      cause: error,
    });
  }
}
