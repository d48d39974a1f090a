import { fileURLToPath } from "node:url";
import { sourceUrl } from "../core/source-url.ts";

/** What `lambda init` can start from: the examples are the templates, so that they are known to work. */
const FOLDER_OF = {
  nodejs: "hello-nodejs",
  "nodejs-ts": "hello-typescript",
  python: "hello-python",
  go: "hello-go",
  shell: "hello-shell",
  lifecycle: "counter-lifecycle",
  "lifecycle-ts": "counter-typescript",
  server: "server-node",
  filter: "upper-filter",
} as const;

export type TemplateName = keyof typeof FOLDER_OF;

export const TEMPLATE_NAMES: readonly string[] = Object.keys(FOLDER_OF);

/** The folder to copy, on this machine. */
export function templateFolder(name: TemplateName): string {
  return fileURLToPath(sourceUrl(`../examples/${FOLDER_OF[name]}/`));
}
