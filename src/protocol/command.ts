import { dirname, posix } from "node:path";
import type { ResolvedRuntime } from "./protocol.ts";

/** A program of a command as the sandbox finds it: `./` is the code's folder, anything else is looked up on PATH. */
export function programOf(program: string, codeDir: string): string {
  return program.startsWith("./") ? posix.join(codeDir, program) : program;
}

/** Puts the runtime's interpreter first on PATH, so that `node server.js` runs on the Node that was promised. */
export function withInterpreterOnPath(
  environment: Readonly<Record<string, string>>,
  runtime: ResolvedRuntime,
): Record<string, string> {
  if (!runtime.interpreter) return { ...environment };
  const folder = dirname(runtime.interpreter);
  return { ...environment, PATH: environment.PATH ? `${folder}:${environment.PATH}` : folder };
}
