import { PlatformError } from "../../core/errors.ts";
import { OPEN_FILES_MAX } from "../../core/limits.ts";
import type { SandboxImage, SandboxLaunch, SandboxSpec } from "../driver.ts";
import type { EngineTraits } from "./engine-traits.ts";
import { FIRST_INSIDE, type FirstProcess } from "./first-process.ts";
import { LABEL } from "./labels.ts";

/** Where a container is attached; undefined has nothing but a loopback. */
export interface Attachment {
  readonly network: string;
  readonly address: string;
}

export interface ContainerPlan {
  readonly spec: SandboxSpec;
  readonly image: SandboxImage;
  readonly launch: SandboxLaunch;
  readonly instanceName: string;
  /** On this host, and as the program sees it. */
  readonly socketDir: { readonly host: string; readonly inside: string };
  readonly attachment: Attachment | undefined;
  /** Starts the program, and tells its end. */
  readonly first?: FirstProcess | undefined;
  readonly traits: EngineTraits;
  /** What it runs as where the image names nobody. */
  readonly uid: number;
  /** Of this host, since an engine refuses more. */
  readonly cpusMax: number;
}

const MIB = 1024 * 1024;
const NANO = 1e9;
/** An engine refuses less. */
const CPUS_MIN = 0.01;

/**
 * The body of `POST /containers/create`: the one profile that every function runs in. Nothing of it is the user's to
 * choose but sizes, environment and network; there is no way to a mount, a device, a capability or the engine's socket.
 *
 * @throws PlatformError `SandboxStartFailed` for text with a NUL, which would be cut there.
 */
export function containerBody(plan: ContainerPlan): Readonly<Record<string, unknown>> {
  const { spec, image, launch, attachment, first, traits } = plan;
  const environment = Object.entries(launch.environment).map(([name, value]) => `${name}=${value}`);
  refuseNul([...launch.command, ...environment, launch.workingDir]);
  const memory = spec.memoryMib * MIB;
  const user = image.user === "" ? `${plan.uid}:${plan.uid}` : image.user;
  return {
    Image: image.id,
    Entrypoint: first ? [FIRST_INSIDE, first.token, ...launch.command] : launch.command,
    Cmd: [],
    Env: environment,
    WorkingDir: launch.workingDir,
    User: user,
    Labels: { [LABEL.instance]: plan.instanceName, [LABEL.sandbox]: spec.id },
    AttachStdin: spec.hasInput,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: spec.hasInput,
    StdinOnce: spec.hasInput,
    Tty: false,
    Healthcheck: { Test: ["NONE"] },
    HostConfig: {
      NetworkMode: attachment?.network ?? "none",
      ReadonlyRootfs: true,
      Tmpfs: { "/tmp": `rw,exec,nosuid,nodev,size=${spec.tmpMib}m,mode=1777${ownerOf(user, traits)}` },
      Mounts: [
        { Type: "bind", Source: plan.socketDir.host, Target: plan.socketDir.inside, ReadOnly: true },
        ...(first ? [{ Type: "bind", Source: first.file, Target: FIRST_INSIDE, ReadOnly: true }] : []),
      ],
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges:true"],
      Privileged: false,
      IpcMode: "private",
      // Swap is the same as memory, which is none. What an engine cannot limit it refuses to be told.
      ...(traits.limits.memory && { Memory: memory, MemorySwap: memory }),
      ...(traits.limits.cpu && {
        NanoCpus: Math.round(Math.min(Math.max(spec.cpus, CPUS_MIN), plan.cpusMax) * NANO),
      }),
      ...(traits.limits.pids && { PidsLimit: spec.pidsMax }),
      OomScoreAdj: 500,
      Ulimits: [
        limitOf("nofile", OPEN_FILES_MAX),
        limitOf("core", 0),
        // Counted for its user, who is this container's alone unless the image names another.
        ...(traits.limits.pids || image.user !== "" ? [] : [limitOf("nproc", spec.pidsMax)]),
      ],
      // Output is read as it comes; the engine need not keep it as well.
      LogConfig: { Type: "none" },
      RestartPolicy: { Name: "no" },
    },
    ...(attachment && {
      NetworkingConfig: {
        EndpointsConfig: { [attachment.network]: { IPAMConfig: { IPv4Address: attachment.address } } },
      },
    }),
  };
}

/** An image's own folder /tmp decides about the mode, and may let nobody but root write; so the user owns it. */
function ownerOf(user: string, { isPodman }: EngineTraits): string {
  // Podman gives it to whomever the container runs as.
  if (isPodman) return ",U";
  const [, uid, gid] = /^(\d+)(?::(\d+))?$/.exec(user) ?? [];
  return uid === undefined ? "" : `,uid=${uid},gid=${gid ?? uid}`;
}

function limitOf(name: string, most: number) {
  return { Name: name, Soft: most, Hard: most };
}

function refuseNul(texts: readonly string[]): void {
  if (texts.some((text) => text.includes("\0")))
    throw new PlatformError(
      "SandboxStartFailed",
      "cannot start a program with a NUL in its arguments or environment",
    );
}
