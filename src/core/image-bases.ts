import { parseImageReference } from "./image.ts";

/** On which images folders without a Dockerfile are put. */
export interface ImageBases {
  /** AWS's base images, which bring a Runtime API client, or small ones, for which one is put in. */
  readonly flavour: "aws" | "slim";
  /** References that are used for single runtimes instead, of that flavour. */
  readonly ofRuntime: ReadonlyMap<string, string>;
}

/** The setting `image-bases`: `aws` or `slim`, and `RUNTIME=IMAGE` for single ones; undefined if it is none. */
export function parseImageBases(text: string): ImageBases | undefined {
  let flavour: ImageBases["flavour"] = "aws";
  const ofRuntime = new Map<string, string>();
  for (const part of text.split(",").map((word) => word.trim())) {
    if (part === "aws" || part === "slim") {
      flavour = part;
      continue;
    }
    const [, runtime, image] = /^([a-z0-9.]+)=(\S+)$/.exec(part) ?? [];
    const reference = parseImageReference(image ?? "");
    if (runtime === undefined || reference === undefined) return undefined;
    ofRuntime.set(runtime, reference);
  }
  return { flavour, ofRuntime };
}
