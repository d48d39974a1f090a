import { join } from "node:path";
import type { ImageEngine } from "../code/image.ts";
import type { ImageTags } from "../code/image-keeper.ts";
import type { Log } from "../core/log.ts";
import type { Driver } from "../sandbox/driver.ts";
import { type Environment, runRoot } from "./host.ts";
import { once } from "./once.ts";

/** All that has to do with the container engine, loaded when the first image is met: most daemons never have one. */
export function containerParts(
  environment: Environment,
  instanceName: string,
  log: Log,
): { readonly openDriver: () => Promise<Driver>; readonly images: ImageEngine & ImageTags } {
  const address = once(() => import("../sandbox/docker/engine-address.ts"));
  const images = once(async () => {
    const [{ DockerImages }, { findEngineSocket }] = await Promise.all([
      import("../sandbox/docker/images.ts"),
      address(),
    ]);
    return new DockerImages({
      findSocket: () => findEngineSocket(environment),
      instanceName,
      environment,
      log,
    });
  });
  return {
    openDriver: async () => {
      const [{ openDockerDriver }, { findEngineSocket }] = await Promise.all([
        import("../sandbox/docker/driver.ts"),
        address(),
      ]);
      return openDockerDriver({
        findSocket: () => findEngineSocket(environment),
        runDir: join(runRoot(environment), `${instanceName}-c`),
        instanceName,
        log,
      });
    },
    images: {
      find: async (reference, work) => (await images()).find(reference, work),
      look: async (reference, options) => (await images()).look(reference, options),
      build: async (order, work) => (await images()).build(order, work),
      abandon: async (imageId, options) => (await images()).abandon(imageId, options),
      pull: async (reference, work) => (await images()).pull(reference, work),
      inventory: async (options) => (await images()).inventory(options),
      reconcile: async (name, versions, options) => (await images()).reconcile(name, versions, options),
      collect: async (names, options) => (await images()).collect(names, options),
    },
  };
}
