import { createHash } from "node:crypto";
import type { FunctionName } from "./ids.ts";

/** What an engine knows of an image; read from the image itself, whose maker may have written anything there. */
export interface ImageFacts {
  /** `sha256:` and 64 hex digits. */
  readonly id: string;
  readonly bytes: number;
  /** Go's names: `amd64`, `arm64`. */
  readonly architecture: string;
  readonly entryPoint: readonly string[];
  readonly command: readonly string[];
  /** Empty if it names none. */
  readonly workingDir: string;
  readonly user: string;
  /** TCP ports that it exposes, ascending. */
  readonly ports: readonly number[];
  /** Names of variables that it sets. */
  readonly variables: readonly string[];
  /** ms since epoch; 0 if it does not say. */
  readonly createdAt: number;
  /** Under which registries have it: `NAME@sha256:…`, without a tag. */
  readonly digests: readonly string[];
}

/** Docker's grammar: a registry with a dot, a port or the name localhost; a path; a tag; a digest. */
const REFERENCE =
  /^(?:(?:localhost|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9-]+(?=:\d))(?::\d{1,5})?\/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/;
const IMAGE_ID = /^sha256:[0-9a-f]{64}$/;
const REFERENCE_LENGTH_MAX = 512;

/** Of what a person may call an image, for error messages. */
export const IMAGE_REFERENCE_RULE =
  "[REGISTRY[:PORT]/]NAME[/NAME…][:TAG][@sha256:DIGEST] with names of a-z, 0-9 and single . _ - between them";

/** The reference, with `:latest` where it has neither tag nor digest; undefined if it is none. */
export function parseImageReference(text: string): string | undefined {
  if (IMAGE_ID.test(text)) return text;
  if (text.length > REFERENCE_LENGTH_MAX || !REFERENCE.test(text)) return undefined;
  const last = text.slice(text.lastIndexOf("/") + 1);
  return last.includes(":") || last.includes("@") ? text : `${text}:latest`;
}

/** The digest by which the registry of that reference knows the image; undefined where it came from none. */
export function digestIn(reference: string, digests: readonly string[]): string | undefined {
  const repository = repositoryOf(reference);
  const found = digests.find((entry) => familiar(entry.split("@")[0] ?? "") === repository);
  return found?.split("@")[1];
}

/** The name without tag and digest, as Docker shows it. */
function repositoryOf(reference: string): string {
  const name = reference.split("@")[0] ?? "";
  const colon = name.lastIndexOf(":");
  return familiar(colon > name.lastIndexOf("/") ? name.slice(0, colon) : name);
}

function familiar(repository: string): string {
  return repository.replace(/^(?:index\.)?docker\.io\/(?:library\/)?/, "");
}

/**
 * The repository that a function's images are tagged in: one per function and daemon. Names of functions may have capitals
 * and runs of dashes, which repositories may not: those are told apart by a digest.
 */
export function imageRepository(instanceName: string, name: FunctionName): string {
  const isPlain = /^[a-z0-9]+(?:(?:_|__|-+)[a-z0-9]+)*$/.test(name);
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
  const own = isPlain
    ? name
    : `${plain || "f"}.${createHash("sha256").update(name).digest("hex").slice(0, 8)}`;
  return `${imageNamespace(instanceName)}/${own}`;
}

/** What all repositories of one daemon begin with. */
export function imageNamespace(instanceName: string): string {
  return `lambdad-${instanceName}`;
}
