import { ImageKeeper } from "../code/image-keeper.ts";
import { ImageRefresh, runImageRefresh } from "../code/image-refresh.ts";
import type { Config } from "../config/config.ts";
import { PlatformError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { inBackground, type Scope } from "../core/scope.ts";
import type { ControlParts } from "../http/control/parts.ts";
import { tryOut } from "../http/control/v1/try-out.ts";
import type { Functions } from "../registry/functions.ts";
import type { RoutedDriver } from "../sandbox/routed.ts";
import type { containerParts } from "./containers.ts";
import { CLIENT_DIR } from "./host.ts";

export interface ImageUpkeepParts extends Pick<ControlParts, "warm" | "records" | "depot" | "clock"> {
  readonly config: Config;
  readonly containers: ReturnType<typeof containerParts>;
  readonly driver: RoutedDriver;
  readonly functions: Functions;
  readonly depot: ImageRefreshDepot;
  readonly log: Log;
}

type ImageRefreshDepot = ControlParts["depot"] & ConstructorParameters<typeof ImageRefresh>[0]["depot"];

/** What looks after images: their tags on the engine, and their bases. */
export function startImageUpkeep(scope: Scope, parts: ImageUpkeepParts) {
  const { config, containers, driver, functions, clock, log } = parts;
  const keeper = scope.own(
    new ImageKeeper({
      tags: containers.images,
      functions,
      versionsMax: config.imageVersionsMax,
      diskBytesMax: config.imageDiskBytesMax,
      foundImages: async () => void (await driver.forImages()).isolation(),
      clock,
      log,
    }),
  );
  const refresh = new ImageRefresh({
    images: containers.images,
    clientDir: CLIENT_DIR,
    depot: parts.depot,
    functions,
    publish: publisher(parts),
    log,
  });
  const { imageRefreshMs: everyMs, imageRefreshGoesLive: isLive } = config;
  if (everyMs !== undefined) {
    scope.own(
      inBackground((signal) => runImageRefresh({ refresh, everyMs, isLive, clock, log }, { signal })),
    );
  }
  return { keeper, refresh };
}

function publisher(parts: ImageUpkeepParts): ConstructorParameters<typeof ImageRefresh>[0]["publish"] {
  const { functions, containers } = parts;
  const trial = { ...parts, images: { engine: containers.images } };
  return async (name, { code, entry }, { isLive, signal }) => {
    const before = await functions.get(name);
    // While it was built, somebody may have deployed other code, which must not be undone.
    if (before.latest.code.treeId !== code.treeId)
      throw new PlatformError("ResourceConflict", `"${name}" was changed meanwhile; refresh it again`);
    const config = { ...before.latest.config, entry };
    if (!isLive) return Number((await functions.publishAside(name, { code, config })).label);
    const { concurrencyMax, tags } = before;
    const deployed = { name, code, config, concurrencyMax, tags };
    const tried = concurrencyMax === 0 ? undefined : await tryOut(trial, deployed, before, { signal });
    const { version } = await functions.deploy({ ...deployed, revisionId: tried?.revisionId });
    return Number(version.label);
  };
}
