import { join } from "node:path";
import type { ImageEngine } from "../code/image.ts";
import type { ImageTags } from "../code/image-keeper.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../core/log.ts";
import type { Driver } from "../sandbox/driver.ts";
import type { Environment } from "./host.ts";
import { once } from "./once.ts";
import { runRoot } from "./run-root.ts";

/** All that has to do with the container engine, loaded when the first image is met: most daemons never have one. */
export function containerParts(parts: {
  readonly config: Config;
  readonly environment: Environment;
  readonly instanceName: string;
  /** Gets an image back that the engine has lost. */
  readonly restoreImage: (id: string, options: { readonly signal: AbortSignal }) => Promise<boolean>;
  readonly log: Log;
}): { readonly openDriver: () => Promise<Driver>; readonly images: ImageEngine & ImageTags } {
  const { config, environment, instanceName, log } = parts;
  const address = once(() => import("../sandbox/docker/engine-address.ts"));
  const open = once(async () => {
    const [{ DockerImages }, { ImageShelf }, { BuildTags }, { RegistryCredentials }, { findEngineSocket }] =
      await Promise.all([
        import("../sandbox/docker/images.ts"),
        import("../sandbox/docker/image-shelf.ts"),
        import("../sandbox/docker/image-tags.ts"),
        import("../sandbox/docker/registry-auth.ts"),
        address(),
      ]);
    const { registry } = config;
    const shared = {
      findSocket: () => findEngineSocket(environment),
      instanceName,
      credentials: new RegistryCredentials(environment, registry),
      building: new BuildTags(),
      limits: config.imageBuild,
      environment,
      log,
    };
    return {
      images: new DockerImages(shared),
      shelf: new ImageShelf({ ...shared, registry }),
      strays: shared.building.orphans,
    };
  });
  const images = async () => (await open()).images;
  const shelf = async () => (await open()).shelf;
  return {
    openDriver: async () => {
      const [{ openDockerDriver }, { findEngineSocket }, { strays }] = await Promise.all([
        import("../sandbox/docker/driver.ts"),
        address(),
        open(),
      ]);
      return openDockerDriver({
        findSocket: () => findEngineSocket(environment),
        runDir: join(runRoot(environment), `${instanceName}-c`),
        programDir: join(config.dataDir, "containers"),
        instanceName,
        restoreImage: parts.restoreImage,
        strays,
        log,
      });
    },
    images: {
      find: async (reference, work) => (await images()).find(reference, work),
      look: async (reference, options) => (await images()).look(reference, options),
      build: async (order, work) => (await images()).build(order, work),
      abandon: async (imageId, options) => (await images()).abandon(imageId, options),
      extensionsOf: async (imageId, options) => (await images()).extensionsOf(imageId, options),
      pull: async (reference, work) => (await images()).pull(reference, work),
      inventory: async (options) => (await images()).inventory(options),
      reconcile: async (name, versions, options) => (await shelf()).reconcile(name, versions, options),
      collect: async (names, options) => (await shelf()).collect(names, options),
      push: async (name, versions, options) => (await shelf()).push(name, versions, options),
      restore: async (lost, options) => (await shelf()).restore(lost, options),
      usedBytes: async (options) => (await shelf()).usedBytes(options),
      dropLeftovers: async (options) => (await shelf()).dropLeftovers(options),
    },
  };
}
