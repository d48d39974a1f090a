import { execFile } from "node:child_process";
import { networkInterfaces } from "node:os";
import { promisify } from "node:util";
import type { BridgeSide } from "./bridge-side.ts";
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

export async function openFirewall(made: {
  readonly networks: readonly ContainerNetwork[];
  readonly runtimeApiPort: number;
  readonly side: BridgeSide;
  /** Podman has no chain for the rules of others, and answers questions for names at the gateway. */
  readonly isPodman: boolean;
}): Promise<Firewall> {
  const { networks, side } = made;
  const chains = chainNames(networks);
  const tables = new Tables(side);
  try {
    // From a rootless engine's network this host is reached by its own address, which may be a public one.
    const others = side.isHere ? [] : ownAddresses();
    await tables.restore(rules(made, chains, others));
    await tables.jump("INPUT", chains.input);
    const hasOwn = !made.isPodman && (await tables.exists("DOCKER-USER"));
    await tables.jump(hasOwn ? "DOCKER-USER" : "FORWARD", chains.forward);
  } catch (error) {
    await tables.remove(chains);
    return { gap: gapOf(error, side), [Symbol.asyncDispose]: async () => undefined };
  }
  return { gap: undefined, [Symbol.asyncDispose]: () => tables.remove(chains) };
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
function rules(
  made: {
    readonly networks: readonly ContainerNetwork[];
    readonly runtimeApiPort: number;
    readonly isPodman: boolean;
  },
  chains: Chains,
  others: readonly string[],
): string {
  const lines = ["*filter", `:${chains.input} - [0:0]`, `:${chains.forward} - [0:0]`];
  const own = (bridge: string, gateway: string, protocol: string, port: number) =>
    `-A ${chains.input} -i ${bridge} -d ${gateway} -p ${protocol} --dport ${port} -j ACCEPT`;
  for (const { bridge, gateway } of made.networks) {
    lines.push(
      `-A ${chains.input} -i ${bridge} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT`,
      own(bridge, gateway, "tcp", made.runtimeApiPort),
      ...(made.isPodman ? [own(bridge, gateway, "udp", 53), own(bridge, gateway, "tcp", 53)] : []),
      `-A ${chains.input} -i ${bridge} -j REJECT`,
      `-A ${chains.forward} -i ${bridge} -p udp --dport 53 -j RETURN`,
      `-A ${chains.forward} -i ${bridge} -p tcp --dport 53 -j RETURN`,
      ...[...KEPT_FROM, ...others].map((range) => `-A ${chains.forward} -i ${bridge} -d ${range} -j REJECT`),
    );
  }
  return [...lines, "COMMIT", ""].join("\n");
}

/** iptables, on the side where the bridges are. */
class Tables {
  readonly #side: BridgeSide;

  constructor(side: BridgeSide) {
    this.#side = side;
  }

  async jump(from: string, to: string): Promise<void> {
    try {
      await this.#run("-C", from, "-j", to);
    } catch {
      await this.#run("-I", from, "1", "-j", to);
    }
  }

  async exists(chain: string): Promise<boolean> {
    try {
      await this.#run("-n", "-L", chain);
      return true;
    } catch {
      return false;
    }
  }

  async remove(chains: Chains): Promise<void> {
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
      await this.#run(...args).catch(() => undefined);
    }
  }

  async restore(text: string): Promise<void> {
    const running = this.#start("iptables-restore", ["--noflush", "-w", "5"]);
    running.child.stdin?.on("error", () => undefined);
    running.child.stdin?.end(text);
    await running;
  }

  async #run(...args: readonly string[]): Promise<void> {
    await this.#start("iptables", ["-w", "5", ...args]);
  }

  #start(name: string, inner: readonly string[]) {
    const [program, args] = this.#side.command(name, inner);
    return promisify(execFile)(program, args, { timeout: COMMAND_MS_MAX });
  }
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === "IPv4" && !internal)
    .map(({ address }) => `${address}/32`);
}

function gapOf(error: unknown, side: BridgeSide): string {
  const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
  const why = isMissing
    ? "iptables is not installed (apt install iptables)"
    : process.getuid?.() === 0 || !side.isHere
      ? `iptables failed: ${String(error).split("\n")[0]}`
      : "lambdad does not run as root";
  return `containers can reach services of this host and of private networks: ${why}`;
}
