/** Ruby, where this host has one: that of the name, or else what `ruby` is. */
import { PlatformError } from "../core/errors.ts";
import type { FoundInterpreter, HostPrograms } from "./host-programs.ts";

export const RUBY_NAMES = ["ruby4.0", "ruby3.4", "ruby3.3", "ruby3.2"] as const;

/** The oldest whose handlers behave as those of the names do. */
const MIN: readonly [major: number, minor: number] = [3, 1];

const ASK_RUBY = 'print [RbConfig.ruby, RUBY_VERSION, RbConfig::CONFIG["prefix"]].join("\\n")';

/** @throws PlatformError `RuntimeUnavailable` with what brings it. */
export async function findRuby(runtime: string, host: HostPrograms): Promise<FoundInterpreter> {
  for (const name of [runtime, "ruby"]) {
    const path = await host.onPath(name);
    const answer = path && (await host.ask(path, ["--disable-gems", "-rrbconfig", "-e", ASK_RUBY]));
    const ruby = answer ? parseRuby(answer) : undefined;
    if (ruby) return ruby;
  }
  throw new PlatformError(
    "RuntimeUnavailable",
    `no Ruby ${MIN.join(".")} or newer here: install ${runtime} or ruby and have it on the PATH of lambdad`,
  );
}

/** Undefined for one that is too old, or that answers with something else. */
function parseRuby(answer: string): FoundInterpreter | undefined {
  const [path, version, prefix] = answer.split("\n");
  const [major, minor] = (version ?? "").split(".").map(Number);
  if (!path?.startsWith("/") || !version || !prefix?.startsWith("/")) return undefined;
  if (major === undefined || minor === undefined || Number.isNaN(major + minor)) return undefined;
  if (major < MIN[0] || (major === MIN[0] && minor < MIN[1])) return undefined;
  return { path, version, toolDirs: [prefix] };
}
