/** What bubblewrap is told, so that a program finds a Lambda-like world and nothing of this host. Pure. */
import { dirname } from "node:path";
import type { StartRequest } from "./messages.ts";

/** Parts of this host that every sandbox shows, found once. */
export interface HostWorld {
  readonly bubblewrap: string;
  readonly setpriv: string | undefined;
  readonly env: string;
  /** `/bin` and kin: links to repeat, or folders to bind. */
  readonly systemPaths: readonly { readonly path: string; readonly linkTo: string | undefined }[];
  /** A folder that is `/etc`, and what is mounted over places in it. */
  readonly etc: {
    readonly folder: string;
    readonly mounts: readonly { readonly path: string; readonly source: string }[];
    /** Names and addresses that every sandbox knows. */
    readonly hosts: string;
  };
  readonly canDisableUserNamespaces: boolean;
}

/** Parts of this host that one sandbox has for itself. */
export interface BoxWorld {
  /** With the folder `s`, which holds `passwd`, `group`, `hosts` and the daemon's sockets. */
  readonly folder: string;
  readonly user: BoxUser;
  /** bubblewrap makes an empty network; otherwise it stays in that of its parent. */
  readonly unshareNetwork: boolean;
  /** A program of ours that makes sandboxes itself, and so keeps what that takes. */
  readonly makesSandboxes: boolean;
}

export type BoxUser =
  /** A host user of its own; bubblewrap runs as root and needs no user namespace. */
  | { readonly kind: "host"; readonly uid: number }
  /** The daemon's user, who is somebody else inside. */
  | { readonly kind: "namespace"; readonly uid: number };

export const CODE_DIR = "/var/task";
export const RUNTIME_DIR = "/var/runtime";
export const OPT_DIR = "/opt";
export const SOCKET_DIR = "/run/lambdad";
export const TMP_DIR = "/tmp";
export const HOST_NAME = "sandbox";
const USER_NAME = "sbx_user1051";
export const SOCKET_FOLDER = "s";
/** In a sandbox's folder: where code and layers of one that is given them later are mounted. */
export const LATER_FOLDER = "later";
export const LATER_CODE = "task";
export const LATER_LAYERS = "opt";

/** Descriptors that bubblewrap reads from and closes. 0 to 3 are the program's. */
export const ARGUMENTS_FD = 4;
export const FILTER_FD = 5;
export const INFO_FD = 6;
/** What a program has besides that makes sandboxes; the filter is then for those. */
export const REQUESTS_FD = 7;
export const REPORTS_FD = 8;

const MIB = 1024 * 1024;
const SHARED_MEMORY_MIB = 64;

/**
 * Variables that change what a libc or its loader does. As root these must not reach a program that still has rights
 * (setpriv, which gives them up), so they are set after it: the list is glibc's unsecvars.h, musl's, and gettext's.
 */
const LOADER_VARIABLE =
  /^(LD_.*|GLIBC_.*|MALLOC_.*|LC_.*|LANG|LANGUAGE|GCONV_PATH|GETCONF_DIR|HOSTALIASES|LOCALDOMAIN|LOCPATH|MUSL_.*|NIS_PATH|NLSPATH|OUTPUT_CHARSET|RESOLV_.*|RES_OPTIONS|TEXTDOMAIN.*|TMPDIR|TZ|TZDIR)$/;

/** Options, to be read NUL-separated from `ARGUMENTS_FD`: a command line would show them to every user of the host. */
export function bubblewrapOptions(host: HostWorld, box: BoxWorld, request: StartRequest): readonly string[] {
  return [
    ...namespaces(host, box),
    ...environmentOptions(box, request),
    ...systemFiles(host),
    ...specialFiles(request),
    ...ownFiles(box, request),
    ...toolFolders(request.toolDirs),
    ...["--remount-ro", "/"],
    ...["--chdir", request.workingDir],
  ];
}

/** Program and arguments for bubblewrap to run: the way down to the sandbox's user, then the program. */
export function innerCommand(
  host: HostWorld,
  user: BoxUser,
  request: StartRequest,
  keepsRights = false,
): readonly string[] {
  const { environment } = request;
  const late = Object.entries(environment).filter(([name]) => isSetLate(user, name));
  return [
    ...(keepsRights ? [] : dropPrivileges(host, user)),
    host.env,
    // bubblewrap sets it by itself, but the environment is to be what was asked for.
    ...(environment.PWD === undefined ? ["--unset=PWD"] : [`PWD=${environment.PWD}`]),
    ...late.map(([name, value]) => `${name}=${value}`),
    ...request.command,
  ];
}

/** The files a program finds its own user's name in. */
export function userFiles(uid: number): { readonly passwd: string; readonly group: string } {
  return {
    passwd: `root:x:0:0:root:/:/bin/false\n${USER_NAME}:x:${uid}:${uid}::${TMP_DIR}:/bin/false\n`,
    group: `root:x:0:\n${USER_NAME}:x:${uid}:\n`,
  };
}

function namespaces(host: HostWorld, box: BoxWorld): readonly string[] {
  const common = [
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    ...(box.unshareNetwork ? ["--unshare-net"] : []),
    "--die-with-parent",
    "--new-session",
    ...["--hostname", HOST_NAME],
  ];
  if (box.user.kind === "host") {
    const needed = [
      "CAP_SETUID",
      "CAP_SETGID",
      "CAP_SETPCAP",
      ...(box.makesSandboxes ? ["CAP_SYS_ADMIN"] : []),
    ];
    return [...common, "--cap-drop", "ALL", ...needed.flatMap((name) => ["--cap-add", name])];
  }
  const uid = String(box.user.uid);
  const further = host.canDisableUserNamespaces ? ["--disable-userns"] : [];
  return [...common, "--unshare-user", ...further, "--uid", uid, "--gid", uid];
}

function dropPrivileges(host: HostWorld, user: BoxUser): readonly string[] {
  if (user.kind === "namespace") return [];
  if (host.setpriv === undefined) throw new Error("setpriv is missing");
  const uid = String(user.uid);
  return [
    host.setpriv,
    ...["--reuid", uid, "--regid", uid, "--clear-groups"],
    ...["--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"],
  ];
}

function isSetLate(user: BoxUser, name: string): boolean {
  return user.kind === "host" && LOADER_VARIABLE.test(name);
}

function environmentOptions(box: BoxWorld, request: StartRequest): readonly string[] {
  const early = Object.entries(request.environment).filter(
    ([name]) => name !== "PWD" && !isSetLate(box.user, name),
  );
  return ["--clearenv", ...early.flatMap(([name, value]) => ["--setenv", name, value])];
}

function systemFiles(host: HostWorld): readonly string[] {
  return [
    ...["--ro-bind", "/usr", "/usr"],
    ...host.systemPaths.flatMap(({ path, linkTo }) =>
      linkTo === undefined ? ["--ro-bind", path, path] : ["--symlink", linkTo, path],
    ),
    ...["--ro-bind", host.etc.folder, "/etc"],
    ...host.etc.mounts.flatMap(({ path, source }) => ["--ro-bind-try", source, path]),
  ];
}

function specialFiles(request: StartRequest): readonly string[] {
  return [
    ...["--proc", "/proc"],
    ...["--dev", "/dev"],
    ...["--perms", "1777", "--size", String(SHARED_MEMORY_MIB * MIB), "--tmpfs", "/dev/shm"],
    ...["--remount-ro", "/dev"],
    ...["--perms", "1777", "--size", String(request.tmpMib * MIB), "--tmpfs", TMP_DIR],
  ];
}

function ownFiles(box: BoxWorld, request: StartRequest): readonly string[] {
  return [
    ...folder("/var"),
    ...["--ro-bind", request.codeDir ?? `${box.folder}/${LATER_FOLDER}/${LATER_CODE}`, CODE_DIR],
    ...(request.runtimeDir === null ? folder(RUNTIME_DIR) : ["--ro-bind", request.runtimeDir, RUNTIME_DIR]),
    ...layers(box, request),
    ...folder("/run"),
    // Read-only: what is in it can be connected to, but not replaced.
    ...["--ro-bind", `${box.folder}/${SOCKET_FOLDER}`, SOCKET_DIR],
  ];
}

function layers(box: BoxWorld, request: StartRequest): readonly string[] {
  if (request.codeDir === null)
    return ["--ro-bind", `${box.folder}/${LATER_FOLDER}/${LATER_LAYERS}`, OPT_DIR];
  return request.optDir === null ? folder(OPT_DIR) : ["--ro-bind", request.optDir, OPT_DIR];
}

/** A folder below /usr is there already. */
function toolFolders(toolDirs: readonly string[]): readonly string[] {
  return toolDirs
    .filter((path) => path !== "/usr" && !path.startsWith("/usr/"))
    .flatMap((path) => [...parents("/", path), "--ro-bind", path, path]);
}

/** Folders between `top` and `path`; bubblewrap would make them for root only. */
function parents(top: string, path: string): readonly string[] {
  const between: string[] = [];
  for (let at = dirname(path); at !== top && at !== "/"; at = dirname(at)) between.unshift(at);
  return between.filter((at) => at !== TMP_DIR).flatMap(folder);
}

function folder(path: string): readonly string[] {
  return ["--perms", "0755", "--dir", path];
}
