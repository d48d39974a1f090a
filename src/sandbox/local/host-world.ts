/** What of this host every sandbox needs: where its tools are, and which of its files a program may see. */
import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { HOST_NAME, type HostWorld, SOCKET_DIR } from "./bubblewrap.ts";

const TOOL_FOLDERS = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"];

const SYSTEM_PATHS = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/**
 * What libraries and interpreters look up below /etc, and nothing with a secret in it. Small files are copied into one
 * folder that all sandboxes share, since every mount of its own costs a start some 50 microseconds.
 */
const ETC_FILES = [
  "gai.conf",
  "host.conf",
  "ld.so.cache",
  "ld.so.conf",
  "localtime",
  "mime.types",
  "nsswitch.conf",
  "os-release",
  "protocols",
  "services",
  "timezone",
] as const;

/** Certificates, and configuration that a distribution keeps apart from the interpreter or library it belongs to. */
const ETC_FOLDERS = /^(alternatives|ca-certificates|crypto-policies|fonts|java(-.*)?|pki|ssl)$/;

/** Where only some distributions keep more than hooks for packaging. */
const NEEDS: Readonly<Record<string, string>> = { "ca-certificates": "extracted" };

/** Finds tool by tool; `bubblewrap` is a path or a name. Undefined if it is not there. */
export function findTool(name: string): string | undefined {
  const candidates = name.includes("/") ? [name] : TOOL_FOLDERS.map((folder) => join(folder, name));
  return candidates.find(isExecutable);
}

/** @throws if `/usr` is not what a Linux system has there. */
export function findHostWorld(bubblewrap: string, folder: string): HostWorld {
  return {
    bubblewrap,
    setpriv: findTool("setpriv"),
    env: findTool("env") ?? "/usr/bin/env",
    systemPaths: SYSTEM_PATHS.flatMap((path) => {
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (!found) return [];
      return [{ path, linkTo: found.isSymbolicLink() ? readlinkSync(path) : undefined }];
    }),
    etc: makeEtc(folder),
    canDisableUserNamespaces: true,
  };
}

/** Makes the shared `/etc`; what changes while the daemon runs, and whole folders, is mounted over its places. */
function makeEtc(folder: string): HostWorld["etc"] {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const name of ETC_FILES) copyFile(join("/etc", name), join(folder, name));
  for (const name of ["passwd", "group", "hosts"]) {
    rmSync(join(folder, name), { force: true });
    symlinkSync(`${SOCKET_DIR}/${name}`, join(folder, name));
  }
  const mounts = [...findFolders(), ...findResolver()];
  for (const { path, isFolder } of mounts) {
    const place = join(folder, path.slice("/etc/".length));
    if (isFolder) mkdirSync(place, { recursive: true });
    else writeFileSync(place, "");
  }
  return { folder, mounts, hosts: hostsWithSandbox() };
}

interface EtcMount {
  readonly path: string;
  readonly source: string;
  readonly isFolder: boolean;
}

function findFolders(): readonly EtcMount[] {
  return readdirSync("/etc")
    .filter((name) => ETC_FOLDERS.test(name) && existsSync(join("/etc", name, NEEDS[name] ?? ".")))
    .map((name) => join("/etc", name))
    .map((path) => ({ path, source: realpathSync(path), isFolder: true }));
}

/** It changes with the network, and is often a link into /run, which is not inside. */
function findResolver(): readonly EtcMount[] {
  const path = "/etc/resolv.conf";
  return existsSync(path) ? [{ path, source: realpathSync(path), isFolder: false }] : [];
}

function copyFile(from: string, to: string): void {
  try {
    writeFileSync(to, readFileSync(from), { mode: 0o644 });
  } catch {
    // Not every distribution has every file.
  }
}

/** The host's names, and the sandbox's own: programs look theirs up at start, extensions the one that Lambda gives it. */
function hostsWithSandbox(): string {
  return `${readHosts().trimEnd()}\n127.0.0.1 localhost ${HOST_NAME} ${HOST_NAME}.localdomain\n`;
}

function readHosts(): string {
  try {
    return readFileSync("/etc/hosts", "utf8");
  } catch {
    // Minimal systems have none; the line that is added suffices.
    return "";
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
