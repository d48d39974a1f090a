/**
 * Java, where this host has one. It serves every name up to its own version. The runtime interface client, which AWS has in
 * its runtime, comes with the code or a layer: aws-lambda-java-runtime-interface-client, among the jars of `lib/`.
 */
import { realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PlatformError } from "../core/errors.ts";
import type { FoundInterpreter, HostPrograms } from "./host-programs.ts";

export const JAVA_NAMES = ["java25", "java21", "java17", "java11"] as const;

const JAVA_CLIENT_CLASS = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda";

/** @throws PlatformError `RuntimeUnavailable` with what brings it. */
export async function findJava(runtime: string, host: HostPrograms): Promise<FoundInterpreter> {
  const wanted = Number(runtime.replace("java", ""));
  const found = await host.onPath("java");
  const answer = found && (await host.ask(found, ["--version"]));
  const version = /^\S+ (\d+(?:\.\d+)*)/.exec(answer ?? "")?.[1];
  if (!found || version === undefined || Number.parseInt(version, 10) < wanted) {
    const present = version === undefined ? "" : `, only ${version} at ${found}`;
    throw new PlatformError(
      "RuntimeUnavailable",
      `no Java ${wanted} or newer here${present}: install openjdk-${wanted}-jre-headless and have its java on the PATH of lambdad`,
    );
  }
  // Distributions link `java` from place to place, and keep its settings in /etc.
  const path = await realpath(found);
  const home = dirname(dirname(path));
  const settings = await realpath(join(home, "conf/security/java.security")).catch(() => undefined);
  return { path, version, toolDirs: [home, ...(settings === undefined ? [] : [dirname(dirname(settings))])] };
}

/** As AWS starts it: little memory for the collector, quick compilation, a heap that leaves room for the rest. */
export function javaCommand(
  java: string,
  places: { readonly codeDir: string; readonly optDir: string },
  options: { readonly handler: string; readonly memoryMib: number },
): readonly [string, ...string[]] {
  const { codeDir, optDir } = places;
  const classes = [codeDir, `${codeDir}/lib/*`, `${optDir}/java/lib/*`].join(":");
  const heapMib = Math.floor(options.memoryMib * 0.85);
  return [
    java,
    `-Xmx${heapMib}m`,
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-cp",
    classes,
    JAVA_CLIENT_CLASS,
    options.handler,
  ];
}
