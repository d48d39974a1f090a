/**
 * Each release whose instances run has an address of its own on this host's loopback (127.64.0.0/10), which they find in
 * LAMBDAD_URL and, as the address of `SIBLING.localhost`, in their /etc/hosts. What comes to it is known to come out of that
 * release, whatever a function calls with (decision 0020).
 */
import { randomBytes } from "node:crypto";
import { isPlatformError } from "../../core/errors.ts";
import { formatRelease, type ReleaseRef } from "../../core/project.ts";
import type { Listener } from "../listener.ts";

export interface ReleaseAddress {
  /** 127.64.0.1 to 127.127.255.254 */
  readonly host: string;
  readonly url: string;
}

export interface ReleaseAddresses extends AsyncDisposable {
  /**
   * Makes sure that the release has an address. Undefined where this host has only one loopback address, and once all are
   * closed: one that was opened then would keep the daemon from ending.
   */
  open(release: ReleaseRef): Promise<ReleaseAddress | undefined>;
  /** The address is worth nothing any more. */
  close(release: ReleaseRef): void;
  /** For a listener on all addresses: whose address a connection came to. */
  ofAddress(localAddress: string | undefined): ReleaseRef | undefined;
}

interface Opened extends ReleaseAddress {
  readonly listeners: readonly Listener[];
}

/** Addresses that are tried: somebody else may have one. */
const ATTEMPTS = 8;
/** What `http://SIBLING.localhost` means where nothing says otherwise. */
const HTTP_PORT = 80;

export function newReleaseAddresses(parts: {
  /** Of the gateway. */
  readonly port: number;
  /** It listens on all addresses, those of releases too. */
  readonly isOnAll: boolean;
  /** @throws PlatformError `PortInUse`, `ConfigurationInvalid` */
  listenOn(host: string, port: number, release: ReleaseRef): Promise<Listener>;
}): ReleaseAddresses {
  const { port, isOnAll, listenOn } = parts;
  const opened = new Map<string, Promise<Opened | undefined>>();
  const byAddress = new Map<string, ReleaseRef>();
  let isClosed = false;

  async function openOne(release: ReleaseRef): Promise<Opened | undefined> {
    if (process.platform !== "linux") return undefined;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const host = newAddress();
      if (byAddress.has(host)) continue;
      byAddress.set(host, release);
      try {
        const main = isOnAll ? [] : [await listenOn(host, port, release)];
        const plain = port === HTTP_PORT ? [] : await listenIfPossible(host, HTTP_PORT, release);
        return { host, url: `http://${host}:${port}`, listeners: [...main, ...plain] };
      } catch (error) {
        byAddress.delete(host);
        if (!isPlatformError(error)) throw error;
      }
    }
    return undefined;
  }

  /** A port below 1024 is not for every user, and may be somebody's. */
  async function listenIfPossible(host: string, at: number, release: ReleaseRef): Promise<Listener[]> {
    try {
      return [await listenOn(host, at, release)];
    } catch (error) {
      if (isPlatformError(error)) return [];
      throw error;
    }
  }

  async function dispose(one: Promise<Opened | undefined>): Promise<void> {
    const found = await one;
    if (!found) return;
    byAddress.delete(found.host);
    await Promise.all(found.listeners.map((listener) => listener[Symbol.asyncDispose]()));
  }

  return {
    open(release) {
      if (isClosed) return Promise.resolve(undefined);
      const key = formatRelease(release);
      const known = opened.get(key);
      if (known !== undefined) return known;
      const opening = openOne(release);
      opened.set(key, opening);
      return opening;
    },
    close(release) {
      const key = formatRelease(release);
      const known = opened.get(key);
      if (known === undefined) return;
      opened.delete(key);
      dispose(known).catch(() => undefined);
    },
    ofAddress(localAddress) {
      if (byAddress.size === 0 || localAddress === undefined) return undefined;
      return byAddress.get(localAddress.startsWith("::ffff:") ? localAddress.slice(7) : localAddress);
    },
    async [Symbol.asyncDispose]() {
      isClosed = true;
      await Promise.all([...opened.values()].map(dispose));
    },
  };
}

function newAddress(): string {
  const [a = 0, b = 0, c = 0] = randomBytes(3);
  return `127.${64 + (a % 64)}.${b}.${1 + (c % 254)}`;
}
