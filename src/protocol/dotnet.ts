/**
 * .NET, where this host has one. It serves every name up to its own version, for handlers that are an executable assembly:
 * those bring Amazon.Lambda.RuntimeSupport, which polls the Runtime API. Class libraries (`ASSEMBLY::TYPE::METHOD`) need
 * a host that AWS has in its runtime, and nowhere else.
 */
import { realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { PlatformError } from "../core/errors.ts";
import type { FoundInterpreter, HostPrograms } from "./host-programs.ts";

export const DOTNET_NAMES = ["dotnet10", "dotnet8", "dotnet6"] as const;

/** @throws PlatformError `RuntimeUnavailable` with what brings it. */
export async function findDotnet(runtime: string, host: HostPrograms): Promise<FoundInterpreter> {
  const wanted = Number(runtime.replace("dotnet", ""));
  const found = await host.onPath("dotnet");
  const listed = found && (await host.ask(found, ["--list-runtimes"]));
  const versions = [...(listed ?? "").matchAll(/^Microsoft\.NETCore\.App (\d+\.\d+\.\S+)/gm)].map(
    ([, version = ""]) => version,
  );
  const version = versions.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)).at(-1);
  if (!found || version === undefined || Number.parseInt(version, 10) < wanted) {
    const present = version === undefined ? "" : `, only ${version} at ${found}`;
    throw new PlatformError(
      "RuntimeUnavailable",
      `no .NET ${wanted} or newer here${present}: install dotnet-runtime-${wanted}.0 and have its dotnet on the PATH of lambdad, or deploy an image`,
    );
  }
  const path = await realpath(found);
  return { path, version, toolDirs: [dirname(path)] };
}

/** The newest runtime that is here runs what was built for an older one. */
export const DOTNET_DEFAULTS: Readonly<Record<string, string>> = {
  DOTNET_ROLL_FORWARD: "Major",
  DOTNET_CLI_HOME: "/tmp",
  DOTNET_NOLOGO: "1",
};

/** The handler is the assembly's name; its settings lie beside it. */
export function dotnetCommand(
  dotnet: string,
  codeDir: string,
  handler: string,
): readonly [string, ...string[]] {
  return [dotnet, "exec", `${codeDir}/${assemblyOf(handler)}.dll`];
}

/** `Assembly` and `Assembly.dll` mean the same. */
function assemblyOf(handler: string): string {
  return handler.replace(/\.dll$/, "");
}
