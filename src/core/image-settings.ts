/** The daemon's settings for functions made of images: their keys, as `CONFIG_KEYS` has them, and how they are read. */
import { parseImageReference } from "./image.ts";
import { type ImageBases, parseImageBases } from "./image-bases.ts";

export interface ImageSettings {
  /** How often newer base images are looked for; undefined never. */
  readonly imageRefreshMs: number | undefined;
  /** Whether what was built on a newer base goes live by itself. */
  readonly imageRefreshGoesLive: boolean;
  /** Images of one function that stay besides those that something needs; 0 is all. */
  readonly imageVersionsMax: number;
  /** Undefined is no limit. */
  readonly imageDiskBytesMax: number | undefined;
  /** What folders without a Dockerfile are put on when they are made images. */
  readonly imageBases: ImageBases;
  readonly imageBuild: ImageBuildLimits;
  /** Where images are pushed to; undefined keeps them on the engine alone. */
  readonly registry: RegistrySettings | undefined;
}

/** What one build of an image may take. */
export interface ImageBuildLimits {
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly limitMs: number;
}

export interface RegistrySettings {
  /** `HOST[:PORT][/PATH]`, below which functions have their repositories. */
  readonly place: string;
  readonly user: string | undefined;
  /** Read whenever it is needed, since tokens of some registries last for hours only. */
  readonly passwordFile: string | undefined;
}

export const IMAGE_KEYS = [
  key(
    "image-bases",
    "LIST",
    "aws",
    "What --package image puts folders without a Dockerfile on: aws (AWS's base images) or slim, and RUNTIME=IMAGE for single runtimes.",
  ),
  key(
    "image-refresh",
    "HOURS",
    "24",
    "How often newer base images are pulled and what was built on them is built again, up to 500; 0 never.",
  ),
  key(
    "image-refresh-policy",
    "publish|live",
    "publish",
    "Whether a version built on a newer base is only published, or goes live once an instance of it has started.",
  ),
  key(
    "image-versions",
    "N",
    "20",
    "Versions of one function that are kept if they are images, besides live, aliased and rollback ones, up to 100000; 0 keeps all.",
  ),
  key(
    "image-disk",
    "GIB",
    "50",
    "What functions' images may take on the engine's disk before the oldest that nothing needs go, up to 1048576; 0 sets no limit.",
  ),
  key(
    "image-build-timeout",
    "SECONDS",
    "900",
    "How long the build of an image may take before it is stopped, up to 21600.",
  ),
  key(
    "image-build-memory",
    "MIB",
    "4096",
    "Memory that a step of an image's build may take, from 16 to 1048576.",
  ),
  key("image-build-cpus", "N", "2", "CPUs that the build of an image may use, up to 1024."),
  key(
    "registry",
    "PLACE",
    "(none)",
    "HOST[:PORT][/PATH] of a registry that functions' images are pushed to, and pulled from when the engine has lost them.",
  ),
  key(
    "registry-user",
    "NAME",
    "(none)",
    "Who lambdad is to the registry; without it docker login's credentials are used.",
  ),
  key("registry-password-file", "FILE", "(none)", "A file with the password or token of registry-user."),
] as const;

function key<Name extends string>(name: Name, value: string, fallback: string, meaning: string) {
  return { name, kind: "text", value, fallback, meaning } as const;
}

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** What config/ offers to whoever reads settings of a part. */
export interface SettingsReader {
  readonly given: Readonly<Record<string, { readonly text: string; readonly from: string }>>;
  readonly number: (name: string, fallback: number, min: number, max: number) => number;
  readonly complain: (name: string, expected: string) => void;
  readonly problems: string[];
}

export function imageSettings(reader: SettingsReader): ImageSettings {
  const { given, number, complain } = reader;
  const policy = given["image-refresh-policy"]?.text ?? "publish";
  if (policy !== "publish" && policy !== "live") complain("image-refresh-policy", "one of publish, live");
  const imageBases = parseImageBases(given["image-bases"]?.text ?? "aws");
  if (!imageBases) complain("image-bases", "aws or slim, and RUNTIME=IMAGE, with commas between");
  return {
    imageRefreshMs: number("image-refresh", 24, 0, 500) * 3_600_000 || undefined,
    imageRefreshGoesLive: policy === "live",
    imageVersionsMax: number("image-versions", 20, 0, 100_000),
    imageDiskBytesMax: number("image-disk", 50, 0, 1_048_576) * GIB || undefined,
    imageBases: imageBases ?? { flavour: "aws", ofRuntime: new Map() },
    imageBuild: {
      limitMs: number("image-build-timeout", 900, 1, 21_600) * 1_000,
      memoryBytes: number("image-build-memory", 4_096, 16, 1_048_576) * MIB,
      cpus: number("image-build-cpus", 2, 1, 1_024),
    },
    registry: registrySettings(reader),
  };
}

function registrySettings({ given, complain, problems }: SettingsReader): RegistrySettings | undefined {
  const place = given.registry?.text || undefined;
  const user = given["registry-user"];
  const passwordFile = given["registry-password-file"];
  if (user && !passwordFile) problems.push(`${user.from}: registry-password-file is missing beside it`);
  if (passwordFile && !user) problems.push(`${passwordFile.from}: registry-user is missing beside it`);
  if (place === undefined) {
    const alone = user ?? passwordFile;
    if (alone) problems.push(`${alone.from}: there is no registry for it: set registry as well`);
    return undefined;
  }
  // What follows is a name of an image below it.
  const hasHost = /^(?:localhost|[^/]*[.:][^/]*)(?:\/|$)/.test(place);
  if (!hasHost || parseImageReference(`${place}/x`) === undefined)
    complain("registry", "HOST[:PORT][/PATH] with a dot or a port in HOST[:PORT]");
  return { place, user: user?.text, passwordFile: passwordFile?.text };
}
