import { PlatformError } from "../../core/errors.ts";

/** The engine understood the request and said no; `status` is that of its HTTP answer. */
export class EngineRefusal extends Error {
  override readonly name = "EngineRefusal";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function isRefusal(error: unknown, ...statuses: readonly number[]): error is EngineRefusal {
  return error instanceof EngineRefusal && statuses.includes(error.status);
}

/**
 * Why an engine cannot be spoken to, in one sentence with the remedy. What looks alike from afar (absent, stopped, not
 * for this user, slow, gone in the middle) is told apart by how its socket fails.
 */
export function engineProblem(socketPath: string, error: unknown): PlatformError {
  return new PlatformError("EngineUnavailable", sentence(socketPath, error), { cause: error });
}

export function slowEngine(socketPath: string, what: string, afterMs: number): PlatformError {
  return new PlatformError(
    "EngineUnavailable",
    `the container engine at ${socketPath} did not answer ${what} within ${Math.round(afterMs / 1_000)} s: it hangs or is overloaded; see journalctl -u docker, or restart it`,
  );
}

function sentence(socketPath: string, error: unknown): string {
  switch (codeOf(error)) {
    case "ENOENT":
      return `there is no container engine at ${socketPath}: install one (apt install docker.io), start it, or set DOCKER_HOST`;
    case "EACCES":
    case "EPERM":
      return `no permission to use the container engine at ${socketPath}: ${permissionRemedy(socketPath)}`;
    case "ECONNREFUSED":
      return `the container engine at ${socketPath} is stopped: start it with ${startCommand(socketPath)}`;
    case "ECONNRESET":
    case "EPIPE":
      return `the container engine at ${socketPath} went away in the middle: start it again with ${startCommand(socketPath)}`;
    default:
      return `the container engine at ${socketPath} cannot be used: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function startCommand(socketPath: string): string {
  const unit = socketPath.includes("podman") ? "podman.socket" : "docker";
  return socketPath.startsWith("/run/user/") ? `systemctl --user start ${unit}` : `systemctl start ${unit}`;
}

function permissionRemedy(socketPath: string): string {
  return socketPath.includes("podman")
    ? "run lambdad as the user whose engine it is (for one of your own: systemctl --user enable --now podman.socket)"
    : "add lambdad's user to the group docker and start lambdad anew";
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
