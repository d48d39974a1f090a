/** The three builders that an image is made by: the engine's classic one, BuildKit by Docker's own command, and Podman's. */
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { type BuildInputs, secretMask } from "../../core/build-inputs.ts";
import { PlatformError } from "../../core/errors.ts";
import type { ImageBuildLimits } from "../../core/image-settings.ts";
import { tarEntry } from "../../core/tar-entry.ts";
import { type BuildGroup, openBuildGroup } from "./build-group.ts";
import { buildWithCommand, findBuildCommand } from "./buildkit.ts";
import type { Engine } from "./engine.ts";
import type { EngineEnvironment } from "./engine-address.ts";
import { type EngineTraits, findTraits } from "./engine-traits.ts";
import { readProgress } from "./progress.ts";
import type { RegistryCredentials } from "./registry-auth.ts";

export interface BuildOrder {
  readonly tag: string;
  /** A tar with the Dockerfile in it. */
  readonly context: Readable;
  readonly dockerfile: string;
  /** What of it takes BuildKit, in words. */
  readonly beyondClassic: string | undefined;
  readonly inputs: BuildInputs;
  readonly limits: ImageBuildLimits;
}

export interface BuilderParts {
  readonly instanceName: string;
  readonly credentials: RegistryCredentials;
  readonly environment: EngineEnvironment;
}

interface BuildWork {
  readonly signal: AbortSignal;
  readonly output: (text: string) => void;
}

const CPU_PERIOD_US = 100_000;
const MIB = 1024 * 1024;
const SILENCE_MS_MAX = 60_000;
/** How builders say that a step was killed. */
const KILLED = /(?:exit code:?|non-zero code:|exit status) 137\b/;

/**
 * Builds and names the image; gives what went wrong with the last lines before it, undefined if nothing did. No line has a
 * secret in it. Podman's builder knows all that BuildKit does by the classic builder's call.
 */
export async function runBuild(
  parts: BuilderParts,
  engine: Engine,
  order: BuildOrder,
  work: BuildWork,
): Promise<string | undefined> {
  const mask = secretMask(order.inputs);
  let saidAt = performance.now();
  const output = (text: string) => {
    saidAt = performance.now();
    work.output(mask(text));
  };
  const masked = { ...work, output };
  const startedAt = saidAt;
  // Whoever waits at the other end takes a long silence for a connection that is gone.
  const breaker = setInterval(() => {
    if (performance.now() - saidAt >= SILENCE_MS_MAX)
      output(`… still building after ${Math.round((performance.now() - startedAt) / 60_000)} min`);
  }, SILENCE_MS_MAX);
  try {
    return await build(parts, engine, order, masked, mask);
  } finally {
    clearInterval(breaker);
  }
}

async function build(
  parts: BuilderParts,
  engine: Engine,
  order: BuildOrder,
  work: BuildWork,
  mask: (text: string) => string,
): Promise<string | undefined> {
  const traits = await findTraits(engine, engine.version);
  const problem =
    order.beyondClassic === undefined || traits.isPodman
      ? await buildByEngine(parts, engine, traits, order, work)
      : await buildByCommand(parts, engine, traits, order.beyondClassic, order, work);
  return problem && mask(problem);
}

async function buildByEngine(
  { credentials }: BuilderParts,
  engine: Engine,
  { isPodman, limits: able }: EngineTraits,
  { tag, context, dockerfile, inputs, limits }: BuildOrder,
  { signal, output }: BuildWork,
): Promise<string | undefined> {
  const memory = String(limits.memoryBytes);
  const cpuQuota = String(Math.round(limits.cpus * CPU_PERIOD_US));
  const secrets = isPodman ? secretFiles(inputs) : [];
  const auth = credentials.ofAll();
  const unlimited = [...(able.memory ? [] : ["memory"]), ...(able.cpu ? [] : ["CPU time"])];
  if (unlimited.length > 0)
    output(`note: this build has no limit of ${unlimited.join(" and ")}: lambda doctor says why`);
  const answer = await engine.stream("POST", "/build", {
    query: {
      ...{ dockerfile, t: tag, rm: "1", forcerm: "1" },
      ...(Object.keys(inputs.args).length > 0 && { buildargs: JSON.stringify(inputs.args) }),
      ...(secrets.length > 0 && {
        secrets: JSON.stringify(secrets.map(({ id, file }) => `id=${id},src=${file}`)),
      }),
      ...(able.memory && { memory, memswap: memory }),
      ...(able.cpu && { cpuperiod: String(CPU_PERIOD_US), cpuquota: cpuQuota }),
    },
    headers: {
      "Content-Type": "application/x-tar",
      ...(auth !== undefined && { "X-Registry-Config": auth }),
    },
    upload: secrets.length > 0 ? withFiles(secrets, context) : context,
    withinMs: 0,
    signal,
  });
  const problem = await readProgress(answer, output);
  return problem && able.memory && KILLED.test(problem) ? `${problem}\n${killedFor(limits)}` : problem;
}

/** Podman takes them from the context, out of which it moves them before the build. */
function secretFiles({ secrets }: BuildInputs): { id: string; file: string; value: Uint8Array }[] {
  const prefix = `.lambdad-secret-${randomBytes(8).toString("hex")}`;
  return [...secrets].map(([id, value], index) => ({ id, value, file: `${prefix}-${index}` }));
}

function withFiles(
  files: readonly { readonly file: string; readonly value: Uint8Array }[],
  context: Readable,
): Readable {
  async function* all(): AsyncGenerator<Uint8Array> {
    for (const { file, value } of files) yield tarEntry(file, value);
    yield* context;
  }
  return Readable.from(all(), { objectMode: false });
}

async function buildByCommand(
  { instanceName, credentials, environment }: BuilderParts,
  engine: Engine,
  traits: EngineTraits,
  beyondClassic: string,
  order: BuildOrder,
  work: BuildWork,
): Promise<string | undefined> {
  const { socketPath, version } = engine;
  const command = await findBuildCommand(environment, { socketPath, beyondClassic }, work);
  const opened = command.knowsGroups
    ? await openBuildGroup({ version, traits }, instanceName, order.limits)
    : "docker commands give BuildKit none without the plugin buildx";
  if (typeof opened === "string")
    work.output(`note: this build has no limit of memory and CPU time: ${opened}`);
  const group: BuildGroup | undefined = typeof opened === "string" ? undefined : opened;
  try {
    const auths = credentials.asConfiguration();
    const asked = { ...order, auths, cgroupParent: group?.parent };
    const problem = await buildWithCommand(environment, command, asked, work);
    if (!problem || !(await group?.wasFull(KILLED.test(problem)))) return problem;
    return `${problem}\n${killedFor(order.limits)}`;
  } finally {
    await group?.[Symbol.asyncDispose]();
  }
}

function killedFor({ memoryBytes }: ImageBuildLimits): string {
  return `a step was killed: it needed more than the ${memoryBytes / MIB} MiB of memory that a build may take (image-build-memory)`;
}

/** @throws PlatformError `BuildFailed` for a build that took its time. */
export function stoppedAfter({ limitMs }: ImageBuildLimits): PlatformError {
  const span = limitMs % 60_000 === 0 ? `${limitMs / 60_000} minutes` : `${limitMs / 1_000} s`;
  return new PlatformError(
    "BuildFailed",
    `docker build was stopped: it took longer than ${span} (image-build-timeout)`,
  );
}
