/** What of this host every sandbox needs: where its tools are, and which of its files a program may see. */
import {
  accessSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { HOST_NAME, type HostWorld } from "./bubblewrap.ts";

const TOOL_FOLDERS = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"];

const SYSTEM_PATHS = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/**
 * What libraries and interpreters look up, and nothing with a secret in it: name resolution, certificates, time zone,
 * the loader's cache, and configuration that a distribution keeps apart from the interpreter it belongs to.
 */
const ETC_NAMES =
  /^(alternatives|ca-certificates|crypto-policies|fonts|gai\.conf|host\.conf|java(-.*)?|ld\.so\.(cache|conf|conf\.d)|localtime|mime\.types|nsswitch\.conf|os-release|pki|protocols|python3?(\..*)?|resolv\.conf|services|ssl|timezone)$/;

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
    etc: [...etcFiles(), { path: "/etc/hosts", source: writeHosts(folder) }],
    canDisableUserNamespaces: true,
  };
}

function etcFiles(): HostWorld["etc"] {
  return readdirSync("/etc")
    .filter((name) => ETC_NAMES.test(name))
    .flatMap((name) => {
      const path = join("/etc", name);
      try {
        // The link's target may be in /run, which is not inside.
        return [{ path, source: realpathSync(path) }];
      } catch {
        // A dangling link: nothing to show.
        return [];
      }
    });
}

/** The host's names, and the sandbox's own, which programs look up at start. */
function writeHosts(folder: string): string {
  const file = join(folder, "hosts");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(file, `${readHosts().trimEnd()}\n127.0.0.1 localhost ${HOST_NAME}\n`, { mode: 0o644 });
  return file;
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
