/** What a specification comes to on this host: whether it can be had at all, and what the spawner is asked for. */
import { PlatformError } from "../../core/errors.ts";
import type { ReadySpec, SandboxPlaces, SandboxSpec } from "../driver.ts";
import { CODE_DIR, OPT_DIR, RUNTIME_DIR } from "./bubblewrap.ts";
import type { HostAbilities, StartRequest } from "./messages.ts";
import { findProgram, type Mapping } from "./program.ts";

/** With code, or for a sandbox that is given its code later. */
export type AnySpec =
  | SandboxSpec
  | (ReadySpec & { readonly codeDir?: undefined; readonly optDir?: undefined });

/** @throws PlatformError `IsolationUnavailable` with the reason and the remedy. */
export function demand(host: HostAbilities, spec: AnySpec): void {
  if (host.mode === "none") {
    throw new PlatformError(
      "IsolationUnavailable",
      `this host cannot isolate functions: ${host.reason}; or start lambdad with --allow-unsandboxed to run them as plain processes`,
    );
  }
  if (spec.network === "public") {
    throw new PlatformError(
      "IsolationUnavailable",
      "network public is for images only so far: give the function network host or none",
    );
  }
  if (spec.network !== "none") return;
  if (host.mode === "plain") {
    throw new PlatformError(
      "IsolationUnavailable",
      `network none needs a sandbox, and this host has none: ${host.reason}; or give the function network host`,
    );
  }
  if ((spec.hasPort || spec.onRuntimeApiConnection) && !host.hasInnerSockets) {
    throw new PlatformError(
      "IsolationUnavailable",
      "network none with a port or a Runtime API needs a daemon that runs as root on Node 26: run it so, or give the function network host",
    );
  }
}

export async function makeRequest(
  spec: AnySpec,
  places: SandboxPlaces,
  host: HostAbilities,
): Promise<StartRequest> {
  const { command, environment, workingDir, forkFrom } = spec.launch(places);
  const [name, ...args] = command;
  const path = environment.PATH ?? PATH_DEFAULT;
  const program = await findProgram(name, { path, workingDir, mappings: mappings(spec, host) });
  if (program === undefined) {
    const where = name.includes("/") ? "there is no such program" : `it is not on the PATH ${path}`;
    throw new PlatformError("SandboxStartFailed", `cannot start ${name}: ${where} in the sandbox`);
  }
  if (program.includes("=")) {
    throw new PlatformError(
      "SandboxStartFailed",
      `cannot start ${program}: its path has a = in it, rename it`,
    );
  }
  return {
    id: spec.id,
    codeDir: spec.codeDir ?? null,
    runtimeDir: spec.runtimeDir ?? null,
    optDir: spec.optDir ?? null,
    toolDirs: spec.toolDirs,
    memoryMib: spec.memoryMib,
    cpus: spec.cpus,
    pidsMax: spec.pidsMax,
    tmpMib: spec.tmpMib,
    isOffline: spec.network === "none",
    hasInput: spec.hasInput,
    wantsListener: spec.network === "none" && spec.onRuntimeApiConnection !== undefined,
    command: [program, ...args],
    forkFrom: forkFrom ?? null,
    environment,
    workingDir,
    hosts: spec.hosts ?? "",
  };
}

const PATH_DEFAULT = "/usr/local/bin:/usr/bin:/bin";

function mappings(spec: AnySpec, host: HostAbilities): readonly Mapping[] {
  if (host.mode === "plain") return [{ inside: "/", host: "/" }];
  const same = ["/usr", "/bin", "/sbin", "/lib", "/lib64", ...spec.toolDirs];
  return [
    ...same.map((path) => ({ inside: path, host: path })),
    ...(spec.codeDir === undefined ? [] : [{ inside: CODE_DIR, host: spec.codeDir }]),
    ...(spec.runtimeDir === undefined ? [] : [{ inside: RUNTIME_DIR, host: spec.runtimeDir }]),
    ...(spec.optDir === undefined ? [] : [{ inside: OPT_DIR, host: spec.optDir }]),
  ];
}
