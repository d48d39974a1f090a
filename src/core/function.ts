import type { Canary } from "./canary.ts";
import type { EventInvokeConfig } from "./event.ts";
import type { FunctionSettings } from "./function-settings.ts";
import type { FunctionName } from "./ids.ts";
import type { Membership } from "./release.ts";

/** How an instance is handed work. */
export type Protocol = "lambda" | "http" | "stdio";

/**
 * The four ways to write a function, and what to run for each.
 *
 * - `handler`: `handler(event, context)` in a managed runtime, or any executable that polls the Runtime API
 *   (`provided.*`, where `handler` is only passed on as `_HANDLER`).
 * - `lifecycle`: a Node module with `init`, `start`, `run`, `stop`; `module` is its path without `./`, relative to the code.
 * - `server`: a program that listens on `$PORT`.
 * - `filter`: a program with input on stdin and the result on stdout, one process per invocation.
 *
 * `command` is argv; its first element is looked up in the code folder when it begins with `./`, else on PATH.
 */
export type Entry =
  | { readonly kind: "handler"; readonly handler: string }
  | { readonly kind: "lifecycle"; readonly module: string }
  | { readonly kind: "server"; readonly command: readonly [string, ...string[]] }
  | { readonly kind: "filter"; readonly command: readonly [string, ...string[]] };

export type EntryKind = Entry["kind"];

/**
 * `host` shares the host's network, `none` has a loopback of its own and nothing else. `public` is the internet without
 * this host, private and link-local addresses; images have it instead of `host`, and nothing else has it.
 */
export type Network = "host" | "none" | "public";

export type Architecture = "x86_64" | "arm64";

/** All that may be set on a function; frozen with the code when a version is published. */
export interface FunctionConfig {
  /** A runtime by its Lambda name: `nodejs24.x`, `python3.13`, `provided.al2023`. Servers and filters are `provided.al2023`
   *  unless their program needs an interpreter of ours. */
  readonly runtime: string;
  readonly entry: Entry;
  readonly description: string;
  readonly memoryMib: number;
  /** Whole CPUs and parts of one; undefined gives a share that follows the memory, and at least one. */
  readonly cpus?: number | undefined;
  readonly timeoutMs: number;
  readonly tmpMib: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly network: Network;
  /** Calls that one instance serves at the same time; 1 for handlers and filters. */
  readonly slotsPerInstance: number;
  readonly architecture: Architecture;
  /** An ARN that is kept and shown as written; it has no effect here. */
  readonly role: string;
  /** What is unpacked at `/opt`, in order: of two files with one path the later layer's is there. At most `LAYERS_MAX`. */
  readonly layers: readonly LayerUse[];
  /** The layers merged, as a tree in the depot; undefined without layers. */
  readonly optTreeId: string | undefined;
  readonly logging: Logging;
  /** Globs over the functions that its instances are given credentials for; none: they get no credentials at all. */
  readonly mayInvoke?: readonly string[] | undefined;
  /** What AWS's tools have written and only they read; it has no effect. */
  readonly kept?: KeptMembers | undefined;
}

/** Members of AWS's configuration that mean nothing here; what is not set is left out. */
export interface KeptMembers {
  readonly vpc?: {
    readonly subnetIds: readonly string[];
    readonly securityGroupIds: readonly string[];
    readonly allowsIpv6: boolean;
  };
  readonly kmsKeyArn?: string;
  readonly tracing?: "Active";
}

/** A layer version as a function refers to it. Its code is named here, so that deleting the layer takes nothing away. */
export interface LayerUse {
  /** Of the version: `arn:aws:lambda:REGION:ACCOUNT:layer:NAME:NUMBER`. */
  readonly arn: string;
  readonly code: CodeRef;
}

/** A number of a layer: code for `/opt`, which never changes. */
export interface LayerVersion {
  readonly layerName: string;
  readonly number: number;
  readonly description: string;
  readonly license: string | undefined;
  /** Told to whoever looks for layers; nothing is refused by them. */
  readonly compatibleRuntimes: readonly string[];
  readonly compatibleArchitectures: readonly string[];
  readonly code: CodeRef;
  readonly createdAt: number;
}

export type LogLevel = "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERROR" | "FATAL";

/** How a function's log is written. Levels only hold for JSON; with Text both are undefined. */
export interface Logging {
  readonly format: "Text" | "JSON";
  /** The least that the function's own lines need. */
  readonly applicationLevel: LogLevel | undefined;
  /** The least that the platform's lines need. */
  readonly systemLevel: "DEBUG" | "INFO" | "WARN" | undefined;
  /** What functions are told as their log group; undefined is `/aws/lambda/NAME`. */
  readonly group: string | undefined;
}

export const TEXT_LOGGING: Logging = {
  format: "Text",
  applicationLevel: undefined,
  systemLevel: undefined,
  group: undefined,
};

/** Reference to code in the depot. */
export interface CodeRef {
  /** SHA-256 of the tree, hex: names the unpacked folder. */
  readonly treeId: string;
  /** SHA-256 of the archive as it was uploaded, base64: AWS's CodeSha256. */
  readonly archiveSha256: string;
  /** Size of that archive. */
  readonly archiveBytes: number;
  /** Size of the unpacked tree, or of the image. */
  readonly treeBytes: number;
  /**
   * Set where the code is an image of the container engine. The tree is what it was built of then; if it was not built
   * here, `treeId` is empty and `archiveSha256` is the image's.
   */
  readonly image?: ImageRef | undefined;
  /** Set where a push brought it. */
  readonly source?: CodeSource | undefined;
}

/** The commit that code was taken from by a hook. */
export interface CodeSource {
  readonly repo: string;
  readonly branch: string;
  readonly commit: string;
  /** The delivery that asked for it. */
  readonly delivery: string;
}

/** An image by digest, with what of it decides how it is run: read once, since an image never changes. */
export interface ImageRef {
  /** The engine's id: `sha256:` and 64 hex digits of the image's configuration. */
  readonly id: string;
  /** The name it was asked for by; empty for one that was built here. */
  readonly source: string;
  /** Program and arguments: entry point and command, after `overrides`. */
  readonly command: readonly [string, ...string[]];
  /** Absolute. */
  readonly workingDir: string;
  /** As the image says it; empty if it names nobody. */
  readonly user: string;
  /** The TCP port it exposes, the lowest if there are several. */
  readonly port: number | undefined;
  /** The Dockerfile that was made for its folder, which had none. */
  readonly dockerfile?: string | undefined;
  /** What its build was given: arguments, and the ids of secrets. */
  readonly buildArgs?: Readonly<Record<string, string>> | undefined;
  readonly buildSecrets?: readonly string[] | undefined;
  /** Names of the programs in `/opt/extensions`, which are started beside a handler. */
  readonly extensions?: readonly string[] | undefined;
  /** The image it was built on, if it was built here. */
  readonly base?: BaseImage | undefined;
  /** Other images that it was built with: its build copied from them. */
  readonly otherBases?: readonly BaseImage[] | undefined;
  /** When it was made (ms since epoch), if it says so. */
  readonly createdAt?: number | undefined;
  /** What was said in place of the image's own (AWS's ImageConfig). */
  readonly overrides?: ImageOverrides | undefined;
}

/** What an image was built on, as it was then: `name` is the Dockerfile's, which may mean another by now. */
export interface BaseImage {
  readonly name: string;
  /** The engine's id. */
  readonly id: string;
  /** Of its manifest in the registry it came from: `sha256:` and 64 hex digits; undefined if it came from none. */
  readonly digest?: string | undefined;
}

/** All that an image was built of; empty for one that was not built here, or of nothing. */
export function basesOf({
  base,
  otherBases = [],
}: Pick<ImageRef, "base" | "otherBases">): readonly BaseImage[] {
  return base ? [base, ...otherBases] : otherBases;
}

/** Whether its Dockerfile names it by digest, so that no newer one is wanted. */
export function isPinned({ name }: BaseImage): boolean {
  return name.includes("@");
}

export interface ImageOverrides {
  readonly entryPoint?: readonly string[] | undefined;
  readonly command?: readonly string[] | undefined;
  readonly workingDir?: string | undefined;
}

/** The runtime's name of functions whose code is an image: it brings its own. */
export const IMAGE_RUNTIME = "image";

/** `$LATEST`, or a number as text. */
export type VersionLabel = "$LATEST" | `${number}`;

/** Code and configuration that belong together. Numbered ones never change; `$LATEST` is replaced as a whole. */
export interface Version {
  readonly functionName: FunctionName;
  readonly label: VersionLabel;
  /** A UUID that is new whenever anything here is; instances of another revision are never given a call. */
  readonly revisionId: string;
  readonly code: CodeRef;
  readonly config: FunctionConfig;
  /** When the code or the configuration changed (ms since epoch). */
  readonly modifiedAt: number;
}

/** A name that points at a version, or at two with weights. */
export interface Alias {
  readonly name: string;
  readonly version: VersionLabel;
  readonly description: string;
  /** The second version and its share of calls, 0 to 1. */
  readonly split: { readonly version: VersionLabel; readonly weight: number } | undefined;
  readonly revisionId: string;
}

/** A function URL in AWS's words; `qualifier` is an alias or undefined for `$LATEST`. */
export interface FunctionUrl {
  readonly qualifier: string | undefined;
  readonly urlId: string;
  readonly authType: "NONE" | "AWS_IAM";
  readonly invokeMode: "BUFFERED" | "RESPONSE_STREAM";
  readonly cors: Readonly<Record<string, unknown>> | undefined;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

/** A named unit of user code. Published versions are kept apart (Registry.findVersion). */
export interface FunctionRecord {
  readonly name: FunctionName;
  /** Counts every change of this record; the registry refuses a save that is based on an older one. */
  readonly generation: number;
  readonly createdAt: number;
  readonly latest: Version;
  /** The published version that `$LATEST` equals since the last deploy or rollback; undefined after any other change. */
  readonly liveVersion: number | undefined;
  /** The number that the next published version gets; never reused. */
  readonly nextVersion: number;
  readonly aliases: readonly Alias[];
  readonly urls: readonly FunctionUrl[];
  /** At most one for each qualifier. */
  readonly eventInvokeConfigs: readonly EventInvokeConfig[];
  /** At most this many calls at once, over all versions; undefined leaves it to the default. 0 refuses all. */
  readonly concurrencyMax: number | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly settings: FunctionSettings;
  /** Set where the function belongs to a project: it changes with that only. */
  readonly membership?: Membership | undefined;
  /** Versions that were tried on a share of the calls or on copies, newest first; left out where there was none. */
  readonly canaries?: readonly Canary[] | undefined;
}
