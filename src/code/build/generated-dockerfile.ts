import { assert } from "../../core/assert.ts";
import { PlatformError } from "../../core/errors.ts";
import type { Entry } from "../../core/function.ts";
import type { ImageBases } from "../../core/image-bases.ts";

/** Where the Runtime API client is in images of the flavour `slim`. */
export const CLIENT_DIR = "/opt/lambdad/";
const TASK_ROOT = "/var/task/";

/**
 * The Dockerfile of a tree that was built already: base, code, and what to run. `needsClient` asks for the Runtime API client
 * of that language beside it in the context.
 *
 * @throws PlatformError `InvalidHandler` for what no image can be made of.
 */
export function generateDockerfile(
  entry: Entry,
  runtime: string,
  bases: ImageBases,
): { readonly text: string; readonly needsClient: Language | undefined } {
  const base = baseOf(runtime, bases);
  const language = languageOf(runtime);
  const copy = `FROM ${base}\nWORKDIR ${TASK_ROOT}\nCOPY . ${TASK_ROOT}\n`;
  const runs = (entryPoint: readonly string[], command: readonly string[]) =>
    `ENTRYPOINT ${JSON.stringify(entryPoint)}\nCMD ${JSON.stringify(command)}\n`;
  switch (entry.kind) {
    case "server":
    case "filter":
      return { text: copy + runs(entry.command, []), needsClient: undefined };
    case "handler":
      break;
    case "lifecycle":
      throw new PlatformError(
        "InvalidHandler",
        "package image: lifecycle modules are loaded by lambdad's own Node, so they cannot be images; leave --package away",
      );
  }
  if (language === undefined && !AWS_ONLY.test(runtime))
    return { text: copy + runs([`${TASK_ROOT}bootstrap`], [entry.handler]), needsClient: undefined };
  if (AWS_ONLY.test(runtime) || bases.flavour === "aws")
    return { text: `${copy}CMD ${JSON.stringify([entry.handler])}\n`, needsClient: undefined };
  assert(language !== undefined, "a language has a client, or AWS's images only");
  const { interpreter, file } = CLIENT[language];
  return {
    text:
      `${copy}ENV LAMBDA_TASK_ROOT=${TASK_ROOT}\nCOPY ${CONTEXT_DIR}/ ${CLIENT_DIR}\n` +
      runs([interpreter, `${CLIENT_DIR}${file}`], [entry.handler]),
    needsClient: language,
  };
}

export type Language = "nodejs" | "python";

interface Client {
  readonly interpreter: string;
  readonly file: string;
  /** What lies beside it, and where in the folder of runtimes it is from. */
  readonly beside: Readonly<Record<string, string>>;
}

export const CLIENT: Readonly<Record<Language, Client>> = {
  nodejs: { interpreter: "node", file: "client.mjs", beside: { "trace.cjs": "nodejs/trace.cjs" } },
  python: {
    interpreter: "python3",
    file: "client.py",
    // Not by its own name, which a module of the standard library has.
    beside: { "lambdad_trace.py": "python/lambdad_runtime/trace.py" },
  },
};

/** In the build's context: the client is there and nowhere in the folder. */
export const CONTEXT_DIR = ".lambdad";

function languageOf(runtime: string): Language | undefined {
  if (runtime.startsWith("nodejs")) return "nodejs";
  return runtime.startsWith("python") ? "python" : undefined;
}

/** There is a client for these in AWS's own images, and none of ours. */
const AWS_ONLY = /^(ruby|java|dotnet)/;

/** @throws PlatformError `InvalidHandler` for a runtime that there is no image of. */
function baseOf(runtime: string, { flavour, ofRuntime }: ImageBases): string {
  const [, language = "", version = ""] =
    /^(nodejs|python|ruby|java|dotnet)(\d[\d.]*?)(?:\.x)?$/.exec(runtime) ?? [];
  const own = ofRuntime.get(runtime);
  if (own !== undefined) return own;
  if (flavour === "aws") {
    if (language !== "") return `public.ecr.aws/lambda/${language}:${version}`;
    return `public.ecr.aws/lambda/provided:${runtime === "provided.al2" ? "al2" : "al2023"}`;
  }
  if (AWS_ONLY.test(runtime))
    throw new PlatformError(
      "InvalidHandler",
      `package image: there is no slim base for handlers of ${runtime}; say image-bases: aws, or leave --package away`,
    );
  if (language === "nodejs") return `node:${version}-slim`;
  return language === "python" ? `python:${version}-slim` : "debian:stable-slim";
}
