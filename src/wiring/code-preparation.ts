import { join } from "node:path";
import type { CodeDepot } from "../code/depot.ts";
import type { ImageEngine } from "../code/image.ts";
import type { Config } from "../config/config.ts";
import type { PrepareCode } from "../http/control/parts.ts";
import type { Runtimes } from "../protocol/runtimes.ts";
import { bundled, CLIENT_DIR, type Environment } from "./host.ts";

/** Detection and builds, loaded with the first deploy. */
export function codePreparation(
  config: Config,
  environment: Environment,
  parts: { readonly depot: CodeDepot; readonly runtimes: Runtimes; readonly images: ImageEngine },
): PrepareCode {
  return async (upload, settings, options) => {
    const [{ prepareCode }, { BUILD_MS_MAX, buildEnvironment }] = await Promise.all([
      import("../code/prepare.ts"),
      import("../code/build/tool.ts"),
    ]);
    const build = {
      // Below the depot, which clears it at its start.
      stagingDir: join(config.dataDir, "code", "staging"),
      cacheDir: join(config.dataDir, "cache"),
      environment: buildEnvironment(environment),
      nodeBinDir: bundled(`node-${process.platform}-${process.arch}/bin`),
      esbuild: bundled(`@esbuild/${process.platform}-${process.arch}/bin/esbuild`),
      timeLimitMs: BUILD_MS_MAX,
    };
    const { depot, runtimes, images } = parts;
    const packing = { images, clientDir: CLIENT_DIR, bases: config.imageBases };
    return await prepareCode({ depot, runtimes, build, packing }, upload, settings, options);
  };
}
