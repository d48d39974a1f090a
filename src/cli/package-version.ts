import { readFile } from "node:fs/promises";
import { sourceUrl } from "../core/source-url.ts";

/** Of this package. */
export async function packageVersion(): Promise<string> {
  const about = await readFile(sourceUrl("../package.json"), "utf8");
  return /"version": "([^"]+)"/.exec(about)?.[1] ?? "unknown";
}
