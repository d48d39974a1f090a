import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PlatformError } from "../../core/errors.ts";

/** What the search for an engine may look at: `process.env` of the daemon, as its composition root hands it on. */
export type EngineEnvironment = Readonly<Record<string, string | undefined>>;

/** Where engines listen, the most usual first: Docker as root and rootless, Podman's compatible socket likewise. */
function usualSockets(environment: EngineEnvironment): string[] {
  const runtimeDir = environment.XDG_RUNTIME_DIR;
  return [
    "/var/run/docker.sock",
    ...(runtimeDir ? [join(runtimeDir, "docker.sock")] : []),
    "/run/podman/podman.sock",
    ...(runtimeDir ? [join(runtimeDir, "podman/podman.sock")] : []),
  ];
}

/**
 * The Unix socket of the container engine, found as Docker's own command does: `DOCKER_HOST`, else the context that
 * `DOCKER_CONTEXT` or Docker's configuration names, else the usual places. The first usual one where none exists.
 *
 * @throws PlatformError `EngineUnavailable` for an engine that is not on this host.
 */
export function findEngineSocket(environment: EngineEnvironment): string {
  const host = environment.DOCKER_HOST || hostOfContext(environment);
  if (host) return socketOf(host);
  const usual = usualSockets(environment);
  return usual.find((path) => existsSync(path)) ?? usual[0] ?? "";
}

function socketOf(host: string): string {
  if (host.startsWith("unix://")) return host.slice("unix://".length);
  throw new PlatformError(
    "EngineUnavailable",
    `the container engine ${host} is not on this host: containers must reach lambdad's Runtime API; set DOCKER_HOST to unix:///PATH of a local one`,
  );
}

function hostOfContext(environment: EngineEnvironment): string | undefined {
  const folder =
    environment.DOCKER_CONFIG ?? (environment.HOME ? join(environment.HOME, ".docker") : undefined);
  if (folder === undefined) return undefined;
  const name =
    environment.DOCKER_CONTEXT || textMember(readJson(join(folder, "config.json")), "currentContext");
  if (!name || name === "default") return undefined;
  const id = createHash("sha256").update(name).digest("hex");
  const meta = readJson(join(folder, "contexts/meta", id, "meta.json"));
  const host = textMember(member(member(meta, "Endpoints"), "docker"), "Host");
  if (host) return host;
  throw new PlatformError(
    "EngineUnavailable",
    `docker's context ${JSON.stringify(name)} has no engine: choose another with docker context use, or set DOCKER_HOST`,
  );
}

/** Undefined for a file that is missing or no JSON: Docker's command does without it, too. */
function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

function textMember(value: unknown, name: string): string | undefined {
  const found = member(value, name);
  return typeof found === "string" ? found : undefined;
}
