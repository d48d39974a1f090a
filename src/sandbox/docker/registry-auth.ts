import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PlatformError } from "../../core/errors.ts";
import type { RegistrySettings } from "../../core/image-settings.ts";
import { objectOf } from "./engine.ts";
import type { EngineEnvironment } from "./engine-address.ts";

const DOCKER_HUB = "https://index.docker.io/v1/";
const HOSTS_OF_DOCKER_HUB: ReadonlySet<string> = new Set([
  "docker.io",
  "index.docker.io",
  "registry-1.docker.io",
]);
/** How engines and builders pass on that a registry wants to know who asks, or does not believe it. */
const NOT_LET_IN =
  /no basic auth credentials|unauthorized|authentication required|invalid username\/password|incorrect username or password|\b401\b/i;

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

  /**
   * What there is to do, in words, where an engine could not have an image for the reason `why`. Undefined if that has nothing to do
   * with credentials.
   */
  remedy(reference: string, why: string): string | undefined {
    if (!NOT_LET_IN.test(why)) return undefined;
    const key = registryOf(reference);
    const server = key === DOCKER_HUB ? "Docker Hub" : key;
    const login = key === DOCKER_HUB ? "docker login" : `docker login ${key}`;
    const file = configFile(this.#environment);
    const given = this.#read().get(key);
    const { place, user, passwordFile } = this.#own ?? {};
    if (given && user !== undefined && place !== undefined && key === registryOf(`${place}/x`))
      return `${server} refuses the password of registry-user ${JSON.stringify(user)} in ${passwordFile}: check both`;
    if (given)
      return `${server} refuses what ${file} has for the user ${JSON.stringify(given.username)}: ${login} anew as lambdad's user`;
    const asks = `${server} asks for credentials, and`;
    const settings = "set registry-user and registry-password-file";
    if (file === undefined)
      return `${asks} lambdad's user has no home that docker login could leave some in: ${settings}`;
    const { config, problem } = readConfig(file);
    if (problem !== undefined)
      return `${asks} ${file} cannot be read: ${problem}; mend it, or remove it and ${login} as lambdad's user`;
    const helper = objectOf(config.credHelpers)[key] ?? config.credsStore;
    const none = `${asks} there are none for it in ${file}`;
    if (typeof helper === "string" && helper !== "")
      return `${none}: docker-credential-${helper} may have them, which lambdad does not run; take credsStore and credHelpers out of that file and ${login}, or ${settings}`;
    return `${none}: ${login} as lambdad's user, or ${settings}`;
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
  return isRegistry && !HOSTS_OF_DOCKER_HUB.has(first) ? first : DOCKER_HUB;
}

/** Older commands of Docker's wrote addresses where newer ones write names. */
function keyOf(server: string): string {
  const host = server.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return HOSTS_OF_DOCKER_HUB.has(host) ? DOCKER_HUB : host;
}

/** What the image is called whose base a failed build could not have; undefined where its output does not tell. */
export function failingBase(problem: string): string | undefined {
  const steps = [...problem.matchAll(/^S(?:tep|TEP) \d+\/\d+ ?: FROM (?:--platform=\S+ )?(\S+)/gm)];
  const said =
    steps.at(-1)?.[1] ??
    /failed to solve: (\S+): /.exec(problem)?.[1] ??
    /load metadata for (\S+)/.exec(problem)?.[1];
  return said?.includes("$") ? undefined : said;
}

function configFile(environment: EngineEnvironment): string | undefined {
  const folder =
    environment.DOCKER_CONFIG ?? (environment.HOME ? join(environment.HOME, ".docker") : undefined);
  return folder && join(folder, "config.json");
}

function readAuths(environment: EngineEnvironment): Map<string, Credentials> {
  const file = configFile(environment);
  const found = new Map<string, Credentials>();
  if (file === undefined) return found;
  for (const [server, entry] of Object.entries(objectOf(readConfig(file).config.auths))) {
    const { auth } = objectOf(entry);
    if (typeof auth !== "string") continue;
    const [username = "", ...password] = Buffer.from(auth, "base64").toString("utf8").split(":");
    if (username === "") continue;
    found.set(keyOf(server), { username, password: password.join(":"), serveraddress: server });
  }
  return found;
}

/** Empty where nobody has logged in, or (with the problem) where it is not what Docker writes. */
function readConfig(file: string): {
  readonly config: Readonly<Record<string, unknown>>;
  readonly problem?: string;
} {
  try {
    return { config: objectOf(JSON.parse(readFileSync(file, "utf8"))) };
  } catch (error) {
    if (!existsSync(file)) return { config: {} };
    return { config: {}, problem: error instanceof Error ? error.message : String(error) };
  }
}

/** With its padding, without which engines take it for nothing and say nothing. */
export function encodeHeader(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
}
