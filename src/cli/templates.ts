import { fileURLToPath } from "node:url";
import { sourceUrl } from "../core/source-url.ts";

/** What `lambda init` can start from: the examples are the templates, so that they are known to work. */
const TEMPLATES = {
  nodejs: { folder: "hello-nodejs", about: "handler in JavaScript" },
  "nodejs-ts": { folder: "hello-typescript", about: "handler in TypeScript" },
  python: { folder: "hello-python", about: "handler in Python" },
  ruby: { folder: "hello-ruby", about: "handler in Ruby" },
  go: { folder: "hello-go", about: "handler in Go" },
  shell: {
    folder: "hello-shell",
    about: "handler in anything that speaks the Runtime API, here a shell script",
  },
  lifecycle: { folder: "counter-lifecycle", about: "lifecycle module in JavaScript: init, start, run, stop" },
  "lifecycle-ts": { folder: "counter-typescript", about: "lifecycle module in TypeScript" },
  server: { folder: "server-node", about: "HTTP server in JavaScript, with WebSockets" },
  "server-ts": { folder: "server-typescript", about: "HTTP server in TypeScript" },
  "server-python": { folder: "server-python", about: "HTTP server in Python" },
  "server-go": { folder: "server-go", about: "HTTP server in Go" },
  filter: { folder: "upper-filter", about: "program from stdin to stdout, a shell script" },
  "filter-nodejs": { folder: "upper-nodejs", about: "program from stdin to stdout in JavaScript" },
  "filter-ts": { folder: "upper-typescript", about: "program from stdin to stdout in TypeScript" },
  "filter-python": { folder: "upper-python", about: "program from stdin to stdout in Python" },
  "filter-go": { folder: "upper-go", about: "program from stdin to stdout in Go" },
  project: { folder: "project-shop", about: "lambda.yaml: two functions, a route, a schedule and a test" },
} as const;

export type TemplateName = keyof typeof TEMPLATES;

export const TEMPLATE_NAMES: readonly string[] = Object.keys(TEMPLATES);

export function isTemplateName(text: string): text is TemplateName {
  return Object.hasOwn(TEMPLATES, text);
}

/** Each with what it is, in the order in which they are shown. */
export function listTemplates(): readonly { readonly name: string; readonly about: string }[] {
  return Object.entries(TEMPLATES).map(([name, { about }]) => ({ name, about }));
}

/** Files of the package that a template has besides those of its folder, on this machine. */
export function furtherFiles(name: TemplateName): readonly string[] {
  return name === "project" ? [fileURLToPath(sourceUrl("../docs/lambda.schema.json"))] : [];
}

/** The folder to copy, on this machine. */
export function templateFolder(name: TemplateName): string {
  return fileURLToPath(sourceUrl(`../examples/${TEMPLATES[name].folder}/`));
}
