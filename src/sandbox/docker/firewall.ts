import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { ContainerNetwork } from "./network.ts";

/**
 * Rules that keep containers from this host and from private and link-local addresses, in chains of our own:
 *
 *   INPUT        from our bridges: the Runtime API's port and answers to what the host asked; all else is dropped
 *   DOCKER-USER  from our bridges: names (port 53), then no private, link-local or shared address; the internet is left
 *
 * The engine keeps DOCKER-USER for such rules. Rules are placed again whenever the engine was found anew.
 */
export interface Firewall extends AsyncDisposable {
  /** Why the rules could not be made, with the remedy; undefined if they stand. */
  readonly gap: string | undefined;
}

const KEPT_FROM = [
  "10.0.0.0/8",
  "100.64.0.0/10",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "224.0.0.0/4",
  "240.0.0.0/4",
] as const;
const COMMAND_MS_MAX = 10_000;

export async function openFirewall(
  networks: readonly ContainerNetwork[],
  runtimeApiPort: number,
): Promise<Firewall> {
  const chains = chainNames(networks);
  try {
    await restore(rules(networks, chains, runtimeApiPort));
    await jump("INPUT", chains.input);
    await jump((await exists("DOCKER-USER")) ? "DOCKER-USER" : "FORWARD", chains.forward);
  } catch (error) {
    await remove(chains);
    return { gap: gapOf(error), [Symbol.asyncDispose]: async () => undefined };
  }
  return { gap: undefined, [Symbol.asyncDispose]: () => remove(chains) };
}

interface Chains {
  readonly input: string;
  readonly forward: string;
}

/** Named after the bridges, which have the daemon in their name. */
function chainNames([network]: readonly ContainerNetwork[]): Chains {
  const name = (network?.bridge ?? "ldb").slice(0, -1).toUpperCase();
  return { input: `${name}-IN`, forward: `${name}-FW` };
}

/** For `iptables-restore --noflush`: one step, and chains that are named begin empty. */
function rules(networks: readonly ContainerNetwork[], chains: Chains, port: number): string {
  const lines = ["*filter", `:${chains.input} - [0:0]`, `:${chains.forward} - [0:0]`];
  for (const { bridge, gateway } of networks) {
    lines.push(
      `-A ${chains.input} -i ${bridge} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT`,
      `-A ${chains.input} -i ${bridge} -d ${gateway} -p tcp --dport ${port} -j ACCEPT`,
      `-A ${chains.input} -i ${bridge} -j REJECT`,
      `-A ${chains.forward} -i ${bridge} -p udp --dport 53 -j RETURN`,
      `-A ${chains.forward} -i ${bridge} -p tcp --dport 53 -j RETURN`,
      ...KEPT_FROM.map((range) => `-A ${chains.forward} -i ${bridge} -d ${range} -j REJECT`),
    );
  }
  return [...lines, "COMMIT", ""].join("\n");
}

async function jump(from: string, to: string): Promise<void> {
  try {
    await iptables("-C", from, "-j", to);
  } catch {
    await iptables("-I", from, "1", "-j", to);
  }
}

async function exists(chain: string): Promise<boolean> {
  try {
    await iptables("-n", "-L", chain);
    return true;
  } catch {
    return false;
  }
}

async function remove(chains: Chains): Promise<void> {
  for (const args of [
    ["-D", "INPUT", "-j", chains.input],
    ["-D", "DOCKER-USER", "-j", chains.forward],
    ["-D", "FORWARD", "-j", chains.forward],
    ["-F", chains.input],
    ["-X", chains.input],
    ["-F", chains.forward],
    ["-X", chains.forward],
  ]) {
    // What is not there need not go.
    await iptables(...args).catch(() => undefined);
  }
}

async function iptables(...args: readonly string[]): Promise<void> {
  await promisify(execFile)("iptables", ["-w", "5", ...args], { timeout: COMMAND_MS_MAX });
}

async function restore(text: string): Promise<void> {
  const running = promisify(execFile)("iptables-restore", ["--noflush", "-w", "5"], {
    timeout: COMMAND_MS_MAX,
  });
  running.child.stdin?.on("error", () => undefined);
  running.child.stdin?.end(text);
  await running;
}

function gapOf(error: unknown): string {
  const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
  const why = isMissing
    ? "iptables is not installed (apt install iptables)"
    : process.getuid?.() === 0
      ? `iptables failed: ${String(error).split("\n")[0]}`
      : "lambdad does not run as root";
  return `containers can reach services of this host and of private networks: ${why}`;
}
