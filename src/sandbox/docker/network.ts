import { createHash } from "node:crypto";
import { PlatformError } from "../../core/errors.ts";
import { type Engine, objectOf } from "./engine.ts";
import { isRefusal } from "./engine-problem.ts";
import { LABEL } from "./labels.ts";

/**
 * A bridge of our own, on which containers do not reach each other. Addresses are given by us and not by the engine: one
 * that was just given up must not be somebody else's while connections of its last owner may still be looked at.
 */
export interface ContainerNetwork {
  readonly name: string;
  /** Of the bridge on this host, at most 15 characters. */
  readonly bridge: string;
  /** The host's address on it. */
  readonly gateway: string;
  readonly addresses: AddressPool;
}

export type NetworkKind = "public" | "inner";

/** 1,021 containers: hosts .0.2 to .3.254 of a /22. */
const PREFIX_BITS = 22;
const SUBNETS_TRIED_MAX = 32;

/**
 * Makes sure that the network is there; one that a predecessor left is used again. `public` leads to the internet,
 * `inner` nowhere but to this host's end of it.
 *
 * @throws PlatformError `EngineUnavailable` if no range of addresses is free.
 */
export async function openNetwork(
  engine: Engine,
  instanceName: string,
  kind: NetworkKind,
): Promise<ContainerNetwork> {
  const name = `lambdad-${instanceName}-${kind}`;
  const bridge = `ldb${digest(instanceName).slice(0, 8)}${kind === "public" ? "p" : "i"}`;
  const subnet =
    (await findSubnet(engine, name)) ?? (await createNetwork(engine, { name, bridge, instanceName, kind }));
  const [first] = subnet.split("/");
  const base = numberOf(first ?? "");
  return { name, bridge, gateway: addressOf(base + 1), addresses: new AddressPool(base) };
}

/** Nothing happens if it is not there, or somebody else has a container on it. */
export async function removeNetwork(engine: Engine, network: ContainerNetwork): Promise<void> {
  try {
    await engine.json("DELETE", `/networks/${network.name}`);
  } catch (error) {
    if (!isRefusal(error, 403, 404)) throw error;
  }
}

async function findSubnet(engine: Engine, name: string): Promise<string | undefined> {
  try {
    const found = objectOf(await engine.json("GET", `/networks/${name}`));
    const configs = objectOf(found.IPAM).Config;
    const subnet = objectOf(Array.isArray(configs) ? configs[0] : undefined).Subnet;
    return typeof subnet === "string" && subnet.endsWith(`/${PREFIX_BITS}`) ? subnet : undefined;
  } catch (error) {
    if (isRefusal(error, 404)) return undefined;
    throw error;
  }
}

async function createNetwork(
  engine: Engine,
  made: {
    readonly name: string;
    readonly bridge: string;
    readonly instanceName: string;
    readonly kind: NetworkKind;
  },
): Promise<string> {
  const start = Number.parseInt(digest(made.name).slice(0, 4), 16);
  for (let tries = 0; tries < SUBNETS_TRIED_MAX; tries += 1) {
    const place = (start + tries * 97) % (64 * 64);
    // In 10.192.0.0/10, where home and office networks are rare.
    const subnet = `10.${192 + (place >> 6)}.${(place & 63) * 4}.0/${PREFIX_BITS}`;
    try {
      await engine.json("POST", "/networks/create", {
        body: {
          Name: made.name,
          Driver: "bridge",
          CheckDuplicate: true,
          Internal: made.kind === "inner",
          EnableIPv6: false,
          IPAM: { Config: [{ Subnet: subnet, Gateway: subnet.replace(/\.0\/\d+$/, ".1") }] },
          Options: {
            "com.docker.network.bridge.name": made.bridge,
            "com.docker.network.bridge.enable_icc": "false",
          },
          Labels: { [LABEL.instance]: made.instanceName },
        },
      });
      return subnet;
    } catch (error) {
      // Somebody else has that range, or a route to it.
      if (!isRefusal(error, 400, 403, 500) || !/overlap/i.test(error.message)) throw error;
    }
  }
  throw new PlatformError(
    "EngineUnavailable",
    "no range of addresses in 10.192.0.0/10 is free for containers: remove networks that nobody uses with docker network prune",
  );
}

/** Gives addresses in turn, so that one that was given back comes last. */
class AddressPool {
  readonly #base: number;
  readonly #taken = new Set<number>();
  #last = 1;

  constructor(base: number) {
    this.#base = base;
  }

  /** @throws PlatformError `SandboxStartFailed` when all are in use. */
  claim(): { readonly address: string; readonly index: number } {
    for (let tries = 0; tries < HOSTS_MAX; tries += 1) {
      this.#last = this.#last >= HOSTS_MAX + 1 ? 2 : this.#last + 1;
      if (this.#taken.has(this.#last)) continue;
      this.#taken.add(this.#last);
      return { address: addressOf(this.#base + this.#last), index: this.#last };
    }
    throw new PlatformError(
      "SandboxStartFailed",
      `${HOSTS_MAX} containers are running, which is as many as there are addresses for`,
    );
  }

  release(index: number): void {
    this.#taken.delete(index);
  }
}

const HOSTS_MAX = 2 ** (32 - PREFIX_BITS) - 3;

function numberOf(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function addressOf(number: number): string {
  return [24, 16, 8, 0].map((bits) => (number / 2 ** bits) & 255).join(".");
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
