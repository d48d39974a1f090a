/**
 * Who is at the other end of a connection on this host's loopback, by `/proc/net/tcp` (proc_net_tcp.rst: local and
 * remote address in hex, in the host's byte order, then state, queues, timers, uid, timeout, inode).
 */
import { readdir, readFile, readlink } from "node:fs/promises";

/** TCP_LISTEN of net/tcp_states.h. */
const LISTEN = "0A";

export interface SocketOwner {
  readonly uid: number;
  readonly inode: string;
}

/** The client's socket of a connection to 127.0.0.1; undefined if it is gone. */
export async function findClient(clientPort: number, serverPort: number): Promise<SocketOwner | undefined> {
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const found = parseClient(await readText(file), clientPort, serverPort);
    if (found) return found;
  }
  return undefined;
}

/** The sockets that listen on a port of this host, on whatever address. */
export async function findListeners(port: number): Promise<readonly SocketOwner[]> {
  const tables = await Promise.all(["/proc/net/tcp", "/proc/net/tcp6"].map(readText));
  return tables.flatMap((table) => parseListeners(table, port));
}

export function parseListeners(table: string, port: number): readonly SocketOwner[] {
  return table.split("\n").flatMap((line) => {
    const [, from = "", , state, , , , uid, , inode] = line.trim().split(/\s+/);
    const listens = state === LISTEN && from.endsWith(`:${hexPort(port)}`);
    return listens && uid !== undefined && inode !== undefined ? [{ uid: Number(uid), inode }] : [];
  });
}

/** IPv6 sockets that talk IPv4 are in tcp6 with a mapped address, which ends as the other does. */
export function parseClient(table: string, clientPort: number, serverPort: number): SocketOwner | undefined {
  const local = `:${hexPort(clientPort)}`;
  const remote = `0100007F:${hexPort(serverPort)}`;
  for (const line of table.split("\n")) {
    if (!line.includes(remote)) continue;
    const [, from = "", to = "", , , , , uid, , inode] = line.trim().split(/\s+/);
    if (from.endsWith(local) && to.endsWith(remote) && uid !== undefined && inode !== undefined) {
      return { uid: Number(uid), inode };
    }
  }
  return undefined;
}

/** Whether one of the processes holds the socket. */
export async function holdsSocket(pids: readonly number[], inode: string): Promise<boolean> {
  for (const pid of pids) {
    const folder = `/proc/${pid}/fd`;
    // Processes and descriptors come and go; one that has gone does not hold it.
    for (const fd of await readdir(folder).catch(() => [])) {
      if ((await readlink(`${folder}/${fd}`).catch(() => "")) === `socket:[${inode}]`) return true;
    }
  }
  return false;
}

function hexPort(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}

/** Empty where it is missing: no IPv6, or not Linux. */
async function readText(file: string): Promise<string> {
  return readFile(file, "utf8").catch(() => "");
}
