import { access, readdir, readFile, readlink } from "node:fs/promises";

/** A network namespace and the user namespace that it belongs to, as paths that nsenter takes. */
export interface FoundNamespace {
  readonly user: string;
  readonly network: string;
}

/** Programs that carry the traffic of Podman's rootless network are told where it is. */
const ROOTLESS_NETWORK = /^\/\S*\/rootless-netns[^\0]*$/;

/**
 * The namespace that has a bridge of that name; undefined if no process that this user may look into is in one. Engines do
 * not tell where they keep their bridges, but each of them has a process there (Docker the engine itself, Podman its name
 * server), or one that says where.
 */
export async function findNamespace(bridge: string): Promise<FoundNamespace | undefined> {
  const own = await readlink("/proc/self/ns/net");
  const seen = new Set([own]);
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  for (const pid of processes) {
    const network = await readlink(`/proc/${pid}/ns/net`).catch(() => own);
    if (seen.has(network)) continue;
    seen.add(network);
    const devices = await readFile(`/proc/${pid}/net/dev`, "utf8").catch(() => "");
    if (devices.includes(`${bridge}:`))
      return { user: `/proc/${pid}/ns/user`, network: `/proc/${pid}/ns/net` };
  }
  return await findByName(processes);
}

async function findByName(processes: readonly string[]): Promise<FoundNamespace | undefined> {
  const commands = await Promise.all(
    processes.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
  );
  const paths = new Set(
    commands.flatMap((text) => text.split("\0").filter((word) => ROOTLESS_NETWORK.test(word))),
  );
  const ownMounts = await readlink("/proc/self/ns/mnt");
  for (const path of paths) {
    for (const pid of processes) {
      const mounts = await readlink(`/proc/${pid}/ns/mnt`).catch(() => ownMounts);
      const network = `/proc/${pid}/root${path}`;
      if (mounts === ownMounts || !(await isThere(network))) continue;
      return { user: `/proc/${pid}/ns/user`, network };
    }
  }
  return undefined;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
