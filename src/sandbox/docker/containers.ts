import type { Engine } from "./engine.ts";
import { isRefusal } from "./engine-problem.ts";

const REMOVE_MS_MAX = 15_000;

/** Removes it, running or not, there or not. */
export async function removeContainer(engine: Engine, name: string): Promise<void> {
  try {
    await engine.json("DELETE", `/containers/${name}`, {
      // Podman would first ask it to end, and wait.
      query: { force: "1", v: "1", timeout: "0" },
      withinMs: REMOVE_MS_MAX,
    });
  } catch (error) {
    // 409: its removal is under way already.
    if (!isRefusal(error, 404, 409)) throw error;
  }
}
