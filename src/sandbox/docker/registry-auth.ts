import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PlatformError } from "../../core/errors.ts";
import type { RegistrySettings } from "../../core/image-settings.ts";
import { objectOf } from "./engine.ts";
import type { EngineEnvironment } from "./engine-address.ts";

const DOCKER_HUB = "https://index.docker.io/v1/";

/**
 * Credentials of registries, in the form of the header that engines take (base64url of JSON): the configured registry's, then
 * what `docker login` has left in Docker's configuration of the daemon's user. Credential helpers are programs of their own,
 * and are not run.
 */
export class RegistryCredentials {
  readonly #environment: EngineEnvironment;
  readonly #own: RegistrySettings | undefined;

  constructor(environment: EngineEnvironment, own: RegistrySettings | undefined) {
    this.#environment = environment;
    this.#own = own;
  }

  /** For the registry of that image; undefined where there are none. @throws PlatformError `ImageUnavailable`. */
  of(reference: string): string | undefined {
    const found = this.#read().get(registryOf(reference));
    return found && encodeHeader(found);
  }

  /** For all registries, as a build takes them. @throws PlatformError `ImageUnavailable`. */
  ofAll(): string | undefined {
    const all = this.#read();
    return all.size === 0 ? undefined : encodeHeader(Object.fromEntries(all));
  }

  /** As Docker's configuration has them; undefined where its own file says all there is. */
  asConfiguration(): Readonly<Record<string, { readonly auth: string }>> | undefined {
    if (this.#own?.user === undefined) return undefined;
    const entries = [...this.#read()].map(([server, { username, password }]) => {
      const auth = Buffer.from(`${username}:${password}`).toString("base64");
      return [server, { auth }] as const;
    });
    return Object.fromEntries(entries);
  }

  #read(): Map<string, Credentials> {
    const found = readAuths(this.#environment);
    const { place, user, passwordFile } = this.#own ?? {};
    if (place !== undefined && user !== undefined && passwordFile !== undefined) {
      const serveraddress = registryOf(`${place}/x`);
      found.set(serveraddress, { username: user, password: readPassword(passwordFile), serveraddress });
    }
    return found;
  }
}

interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly serveraddress: string;
}

function readPassword(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PlatformError(
      "ImageUnavailable",
      `registry-password-file: cannot read ${JSON.stringify(file)}: ${why}`,
      { cause },
    );
  }
}

/** Docker Hub for a reference that names no registry. */
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

/** With its padding, without which engines take it for nothing and say nothing. */
export function encodeHeader(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
}
