import { request } from "node:http";
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
    const answer = await ask(parts.socketPath, parts.signal);
    const version = /"Version":"([^"]+)"/.exec(answer)?.[1] ?? "of an unknown version";
    return { name, status: "ok", found: `${version}, usable by this user (not needed)`, remedy: undefined };
  } catch (error) {
    if (isCode(error, "EACCES")) {
      return {
        name,
        status: "absent",
        found: `no permission to use ${parts.socketPath} (not needed)`,
        remedy: "sudo usermod -aG docker $USER and log in again; it makes that user as powerful as root",
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

/** The path of the engine's socket; Docker's own variable may name another. */
export function dockerSocket(env: NodeJS.ProcessEnv): string {
  const host = env.DOCKER_HOST ?? "";
  return host.startsWith("unix://") ? host.slice("unix://".length) : "/var/run/docker.sock";
}

function ask(socketPath: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        socketPath,
        path: "/version",
        agent: false,
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)]),
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
    asked.on("error", reject);
    asked.end();
  });
}
