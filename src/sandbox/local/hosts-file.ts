import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type HostWorld, SOCKET_FOLDER } from "./bubblewrap.ts";

/** Writes what is `/etc/hosts` inside: first `more`, since of two lines with a name the first one counts. */
export function writeHosts(folder: string, { world }: { readonly world: HostWorld }, more: string): void {
  writeFileSync(join(folder, SOCKET_FOLDER, "hosts"), `${more}${world.etc.hosts}`, { mode: 0o644 });
}
