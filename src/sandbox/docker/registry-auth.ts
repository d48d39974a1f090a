import { readFileSync } from "node:fs";
import { join } from "node:path";
import { objectOf } from "./engine.ts";
import type { EngineEnvironment } from "./engine-address.ts";

const DOCKER_HUB = "https://index.docker.io/v1/";

/**
 * Credentials for the registry of an image, as the header that engines take (base64url of JSON); for no image, those for
 * all registries, as a build takes them. They are what `docker login` has left in Docker's configuration of the daemon's
 * user; credential helpers are programs of their own, and are not run. Undefined where there are none.
 */
export function registryAuth(
  reference: string | undefined,
  environment: EngineEnvironment,
): string | undefined {
  const auths = readAuths(environment);
  if (reference === undefined) return auths.size === 0 ? undefined : encode(Object.fromEntries(auths));
  const found = auths.get(registryOf(reference));
  return found && encode(found);
}

interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly serveraddress: string;
}

/** `index.docker.io` for a reference that names no registry. */
function registryOf(reference: string): string {
  const [first = "", ...rest] = reference.split("/");
  const isRegistry = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  return isRegistry ? first : DOCKER_HUB;
}

function readAuths(environment: EngineEnvironment): Map<string, Credentials> {
  const folder =
    environment.DOCKER_CONFIG ?? (environment.HOME ? join(environment.HOME, ".docker") : undefined);
  const found = new Map<string, Credentials>();
  if (folder === undefined) return found;
  for (const [server, entry] of Object.entries(objectOf(readConfig(join(folder, "config.json")).auths))) {
    const { auth } = objectOf(entry);
    if (typeof auth !== "string") continue;
    const [username = "", ...password] = Buffer.from(auth, "base64").toString("utf8").split(":");
    if (username !== "") found.set(server, { username, password: password.join(":"), serveraddress: server });
  }
  return found;
}

function readConfig(file: string): Readonly<Record<string, unknown>> {
  try {
    return objectOf(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    // Nobody has logged in.
    return {};
  }
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
