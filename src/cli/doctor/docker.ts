import { existsSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { isCode, messageOf } from "../settings.ts";
import { type Check, runProbe } from "./check.ts";

const ANSWER_MS_MAX = 3_000;

/**
 * Docker is not needed. Where it is, three things can be true that look alike from afar: it is absent, it is there
 * but not for this user, it is there.
 */
export async function checkDocker(parts: {
  readonly env: NodeJS.ProcessEnv;
  readonly socketPath: string;
  readonly signal: AbortSignal;
}): Promise<Check> {
  const name = "Docker";
  try {
    const answer = await ask(parts.socketPath, "/version", parts.signal);
    const version = answer.includes('"Podman Engine"')
      ? `Podman ${/"Podman Engine","Version":"([^"]+)"/.exec(answer)?.[1] ?? "of an unknown version"}`
      : (/"Version":"([^"]+)"/.exec(answer)?.[1] ?? "of an unknown version");
    const limits = unlimited(await ask(parts.socketPath, "/info", parts.signal).catch(() => ""));
    const found = `${version}, usable by this user (not needed)`;
    if (limits === undefined) return { name, status: "ok", found, remedy: undefined };
    return { name, status: "weak", found: `${found}; ${limits}`, remedy: ROOTLESS_REMEDY };
  } catch (error) {
    if (isCode(error, "EACCES")) {
      return {
        name,
        status: "absent",
        found: `no permission to use ${parts.socketPath} (not needed)`,
        remedy: "sudo usermod -aG docker $USER and log in again; it makes that user as powerful as root",
      };
    }
    if (error instanceof Error && error.name === "TimeoutError") {
      return {
        name,
        status: "absent",
        found: `what listens at ${parts.socketPath} does not answer within ${ANSWER_MS_MAX / 1_000} s (not needed)`,
        remedy: "it hangs or is overloaded: journalctl -u docker says more, sudo systemctl restart docker",
      };
    }
    const hasClient = (await runProbe(["docker", "--version"], parts)).exitCode === 0;
    if (isCode(error, "ENOENT") && !hasClient) {
      return { name, status: "absent", found: "not installed (not needed)", remedy: undefined };
    }
    return {
      name,
      status: "absent",
      found: `installed, but nothing answers at ${parts.socketPath}: ${messageOf(error)} (not needed)`,
      remedy: "sudo systemctl start docker",
    };
  }
}

const ROOTLESS_REMEDY =
  "boot with control groups of version 2 and delegate them to the engine's user (systemd: Delegate=cpu cpuset io memory pids), or use an engine that runs as root";

/** Of a rootless engine without groups of its own, which says so in two ways. */
function unlimited(info: string): string | undefined {
  const isRootless = info.includes('"name=rootless"') || info.includes('"Rootless":true');
  const hasNone = info.includes('"CgroupDriver":"none"') || info.includes('"CgroupVersion":"1"');
  return isRootless && hasNone
    ? "rootless, so containers have no limit of memory, CPU time or processes"
    : undefined;
}

/** The path of the engine's socket: Docker's own variable, else the first of the usual places where one is. */
export function dockerSocket(env: NodeJS.ProcessEnv): string {
  const host = env.DOCKER_HOST ?? "";
  if (host.startsWith("unix://")) return host.slice("unix://".length);
  const own = env.XDG_RUNTIME_DIR;
  const usual = [
    "/var/run/docker.sock",
    ...(own ? [join(own, "docker.sock")] : []),
    "/run/podman/podman.sock",
    ...(own ? [join(own, "podman/podman.sock")] : []),
  ];
  return usual.find((path) => existsSync(path)) ?? "/var/run/docker.sock";
}

function ask(socketPath: string, path: string, signal: AbortSignal): Promise<string> {
  const limit = AbortSignal.timeout(ANSWER_MS_MAX);
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        socketPath,
        path,
        agent: false,
        signal: AbortSignal.any([signal, limit]),
      },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (chunk: string) => {
          text += chunk;
        });
        answer.on("end", () => resolve(text));
        answer.on("error", reject);
      },
    );
    // Its own error does not tell which of the two it was.
    asked.on("error", (error) => reject(limit.aborted ? limit.reason : error));
    asked.end();
  });
}
