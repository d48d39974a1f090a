/**
 * Tells an HTTP address what became of an event, signed as Standard Webhooks has it:
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 *
 * `webhook-id` is the delivery's own id and the same on every attempt, so that a receiver can tell a repetition;
 * `webhook-timestamp` is the second of the attempt; `webhook-signature` is `v1,` and the base64 of an HMAC-SHA256 over
 * `ID.TIMESTAMP.BODY`. Redirects are not followed, and addresses inside networks are refused when they are connected
 * to, whatever name led there.
 */
import { createHmac } from "node:crypto";
import { type LookupAddress, lookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import type { EventId } from "../core/ids.ts";
import type { Verdict } from "./call-attempt.ts";

export interface Delivery {
  readonly id: EventId;
  readonly url: string;
  readonly body: Uint8Array;
  /** How many events led to it; told, so that a hook of ours that it comes to goes on counting. */
  readonly depth: number;
  /** ms since epoch. */
  readonly now: number;
}

/** Never throws. */
export type Deliver = (
  delivery: Delivery,
  options: { readonly signal: AbortSignal },
) => Promise<Verdict | { readonly kind: "delivered"; readonly status: number }>;

export interface HttpDeliveryParts {
  /** `whsec_` and the base64 of the key that signs. */
  readonly secret: string;
  /** Whether loopback and addresses inside networks may be told. */
  readonly allowsPrivate: boolean;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 15_000;
const GONE = 410;

export function newHttpDelivery({
  secret,
  allowsPrivate,
  timeoutMs = TIMEOUT_MS,
}: HttpDeliveryParts): Deliver {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  return async (delivery, { signal }) => {
    try {
      const url = new URL(delivery.url);
      if (!allowsPrivate && isPrivateHost(url.hostname)) throw new PrivateAddress(url.hostname);
      const deadline = AbortSignal.timeout(timeoutMs);
      const status = await post(url, delivery, key, allowsPrivate, AbortSignal.any([signal, deadline]));
      if (status >= 200 && status < 300) return { kind: "delivered", status };
      const message = `${url.origin} answered ${status}`;
      if (status === GONE) return { kind: "hopeless", condition: "DeliveryRefused", message };
      return { kind: "setback", outcome: "refused", error: { type: "DeliveryRefused", message } };
    } catch (error) {
      if (signal.aborted) return { kind: "released" };
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof PrivateAddress) return { kind: "hopeless", condition: "DeliveryRefused", message };
      return { kind: "setback", outcome: "unavailable", error: { type: "DeliveryFailed", message } };
    }
  };
}

/** Of `ID.TIMESTAMP.BODY`; the timestamp in seconds. */
export function signature(key: Uint8Array, id: string, timestamp: number, body: Uint8Array): string {
  const digest = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  return `v1,${digest}`;
}

class PrivateAddress extends Error {
  constructor(address: string) {
    super(`${address} is an address inside a network; set private-destinations to allow those`);
  }
}

function post(
  url: URL,
  { id, body, depth, now }: Delivery,
  key: Buffer,
  allowsPrivate: boolean,
  signal: AbortSignal,
): Promise<number> {
  const timestamp = Math.floor(now / 1_000);
  return new Promise((resolve, reject) => {
    // Loaded by the first who asks: TLS, and what an import of node:http brings along, would be a part of each start.
    const { request } = process.getBuiltinModule(url.protocol === "https:" ? "node:https" : "node:http");
    const outgoing = request(url, {
      method: "POST",
      agent: false,
      signal,
      ...(!allowsPrivate && { lookup: publicLookup }),
      headers: {
        "content-type": "application/json",
        "content-length": String(body.byteLength),
        "user-agent": "lambdad",
        "webhook-id": id,
        "webhook-timestamp": String(timestamp),
        "webhook-signature": signature(key, id, timestamp, body),
        "x-lambdad-depth": String(depth),
      },
    });
    outgoing.on("error", (error) => reject(signal.aborted ? signal.reason : error));
    outgoing.on("response", (answer) => {
      resolve(answer.statusCode ?? 0);
      // What it says is not read; the connection is not kept.
      answer.destroy();
    });
    outgoing.end(body);
  });
}

/** Refuses names that lead to an address inside a network, when they are connected to. */
export const publicLookup: LookupFunction = (host, options, callback) => {
  lookup(host, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
    const refused = addresses?.find(({ address }) => isPrivateHost(address));
    const [first] = addresses ?? [];
    if (error || !first) callback(error ?? new Error(`${host} has no address`), "", 0);
    else if (refused) callback(new PrivateAddress(`${host} (${refused.address})`), "", 0);
    else if (options.all) callback(null, addresses);
    else callback(null, first.address, first.family);
  });
};

const PRIVATE_IPV4 = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3],
] as const;
const PRIVATE_IPV6 = [
  ["::", 96],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["100::", 64],
  ["2002::", 16],
  ["fc00::", 7],
  ["fe80::", 10],
  ["fec0::", 10],
  ["ff00::", 8],
] as const;

let privateNetworks: BlockList | undefined;

/** Made when the first address is looked at: a start looks at none. */
function isPrivate(address: string, family: "ipv4" | "ipv6"): boolean {
  if (!privateNetworks) {
    privateNetworks = new BlockList();
    for (const [network, prefix] of PRIVATE_IPV4) privateNetworks.addSubnet(network, prefix, "ipv4");
    for (const [network, prefix] of PRIVATE_IPV6) privateNetworks.addSubnet(network, prefix, "ipv6");
  }
  return privateNetworks.check(address, family);
}

/** Whether it is written as an address that is not one of the internet's. Names are looked at once they are resolved. */
export function isPrivateHost(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, "");
  switch (isIP(address)) {
    case 4:
      return isPrivate(address, "ipv4");
    case 6:
      // Covers IPv4 addresses in IPv6 clothes as well: BlockList looks through ::ffff:0:0/96.
      return isPrivate(address, "ipv6") || /^::ffff:/i.test(address);
    default:
      return false;
  }
}
