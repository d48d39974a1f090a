import type { WatchedFolder } from "./folder-watch.ts";

/** A function as the files say it now. */
export interface DevFunction {
  readonly name: string;
  /** Absolute: a folder, or a file that is all of it. Of an image that is named, the folder of the project. */
  readonly folder: string;
  /** What decides how code is made runnable: the options of a build. */
  readonly build: Readonly<Record<string, unknown>>;
  /** Secrets of the build of a Dockerfile, by id. */
  readonly buildSecrets: ReadonlyMap<string, Uint8Array>;
  /** Everything else that a release says of a function, but its variables. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string>>;
}

/** What a developer works on: read again whenever something has changed. */
export interface DevSource {
  readonly project: string;
  /** Absolute: the folder that everything is in. */
  readonly root: string;
  readonly watched: readonly WatchedFolder[];
  /** @throws CliError for a configuration that cannot be read */
  read(): Promise<DevReading>;
}

export interface DevReading {
  readonly functions: readonly DevFunction[];
  /** What a release has besides functions (docs/api.md). */
  readonly besides: Readonly<Record<string, unknown>>;
  /** Worth a line, each said once. */
  readonly remarks: readonly string[];
}
