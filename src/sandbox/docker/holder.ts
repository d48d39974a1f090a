import { Readable } from "node:stream";
import { PlatformError } from "../../core/errors.ts";
import { TAR_END, tarEntry } from "../../core/tar-entry.ts";
import { removeContainer } from "./containers.ts";
import { type Engine, objectOf } from "./engine.ts";
import { isRefusal } from "./engine-problem.ts";
import { holderProgram } from "./holder-program.ts";
import { inspect, removeTag } from "./image-tags.ts";
import { LABEL } from "./labels.ts";
import type { ContainerNetwork } from "./network.ts";
import { readProgress } from "./progress.ts";

const START_MS_MAX = 30_000;
const PROGRAM = "wait";
const NOBODY = "65534:65534";
const MEMORY_BYTES = 16 * 1024 * 1024;

/**
 * Podman makes a network's bridge with the first container on it and removes it with the last; what listens on its address
 * would have to come and go with it. One container on each network, which runs nothing but a wait, keeps them there.
 */
export interface NetworkHolders {
  /** Of the containers. */
  readonly names: readonly string[];
  /** Resolves when one of them is gone: its bridge may be another by now. */
  readonly lost: Promise<void>;
  /** Removes them and their image. */
  remove(): Promise<void>;
}

/** @throws PlatformError `EngineUnavailable` on a machine that there is no such program for. */
export async function holdNetworks(
  engine: Engine,
  made: {
    readonly instanceName: string;
    readonly networks: readonly ContainerNetwork[];
    readonly canLimitMemory: boolean;
  },
): Promise<NetworkHolders> {
  const image = `lambdad-holder:${made.instanceName}`;
  const watching = new AbortController();
  const names = made.networks.map(({ name }) => `${name}-holder`);
  const waits: Promise<unknown>[] = [];
  const remove = async () => {
    watching.abort();
    await Promise.all(names.map((name) => removeContainer(engine, name)));
    await removeTag(engine, image);
  };
  try {
    await ensureImage(engine, image);
    for (const [index, network] of made.networks.entries()) {
      const id = await startHolder(engine, { ...made, image, network, name: names[index] ?? "" });
      waits.push(
        engine.json("POST", `/containers/${id}/wait`, { withinMs: 0, signal: watching.signal }).then(
          () => "gone",
          // The engine has: its containers may go on without it, and are looked at when it is back.
          () => "unknown",
        ),
      );
    }
  } catch (error) {
    await remove().catch(() => undefined);
    throw error;
  }
  const lost = new Promise<void>((resolve) => {
    for (const wait of waits) void wait.then((how) => how === "gone" && resolve());
  });
  return { names, lost, remove };
}

async function startHolder(
  engine: Engine,
  made: {
    readonly name: string;
    readonly image: string;
    readonly network: ContainerNetwork;
    readonly instanceName: string;
    readonly canLimitMemory: boolean;
  },
): Promise<string> {
  const { network } = made;
  // Kept for as long as there are addresses of this network.
  const { address } = network.addresses.claim();
  const body = {
    Image: made.image,
    Entrypoint: [`/${PROGRAM}`],
    Cmd: [],
    User: NOBODY,
    Labels: { [LABEL.instance]: made.instanceName },
    HostConfig: {
      NetworkMode: network.name,
      ReadonlyRootfs: true,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges:true"],
      ...(made.canLimitMemory && { Memory: MEMORY_BYTES, MemorySwap: MEMORY_BYTES }),
      Ulimits: [{ Name: "nofile", Soft: 64, Hard: 64 }],
      LogConfig: { Type: "none" },
    },
    NetworkingConfig: {
      EndpointsConfig: { [network.name]: { IPAMConfig: { IPv4Address: address } } },
    },
  };
  await removeContainer(engine, made.name);
  const query = { name: made.name };
  const { Id } = objectOf(await engine.json("POST", "/containers/create", { query, body }));
  await engine.json("POST", `/containers/${String(Id)}/start`, { withinMs: START_MS_MAX });
  return String(Id);
}

async function ensureImage(engine: Engine, image: string): Promise<void> {
  if (await inspect(engine, image)) return;
  const program = holderProgram(process.arch);
  if (!program) {
    throw new PlatformError(
      "EngineUnavailable",
      `Podman cannot be used on ${process.arch}: use Docker (apt install docker.io)`,
    );
  }
  const answer = await engine.stream("POST", "/images/create", {
    // Podman does not read a tag that is said apart.
    query: { fromSrc: "-", repo: image },
    headers: { "Content-Type": "application/x-tar" },
    upload: Readable.from([tarEntry(PROGRAM, program, 0o755), TAR_END]),
    withinMs: START_MS_MAX,
  });
  const problem = await readProgress(answer, () => undefined);
  if (problem) throw new PlatformError("EngineUnavailable", `the container engine failed: ${problem}`);
}

export async function areRunning(engine: Engine, { names }: NetworkHolders): Promise<boolean> {
  const running = await Promise.all(names.map((name) => isRunning(engine, name)));
  return running.every((is) => is);
}

async function isRunning(engine: Engine, name: string): Promise<boolean> {
  try {
    const { State } = objectOf(await engine.json("GET", `/containers/${name}/json`));
    return objectOf(State).Running === true;
  } catch (error) {
    if (isRefusal(error, 404)) return false;
    throw error;
  }
}
