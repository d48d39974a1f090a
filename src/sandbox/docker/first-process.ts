import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { getSystemErrorMessage, promisify } from "node:util";
import type { Log } from "../../core/log.ts";
import { firstProgram } from "./first-program.ts";
import { wrongMachine } from "./wrong-machine.ts";

/**
 * What stands before the program of a filter's container (runtimes/container/first.c) and tells how it ended: it is known
 * in a millisecond then, and by the engine when the container has been taken apart (decision 0040).
 */
export interface FirstProcess {
  /** Its file on this host. */
  readonly file: string;
  /** What its notes begin with. Written by the program's own user, so they are worth as much as what the program says. */
  readonly token: string;
}

/** Where it appears inside. */
export const FIRST_INSIDE = "/run/lambdad-first";
const NAME = "first";
const TRIAL_MS_MAX = 10_000;
const [ENOENT, EACCES, ENOEXEC] = [2, 13, 8];

const run = promisify(execFile);

/** Finds a folder of which programs may be run: on many hosts they may not where files of running containers are. */
export class FirstProcesses {
  readonly #parts: { readonly folders: readonly string[]; readonly log: Log };
  #file: Promise<string | undefined> | undefined;

  constructor(parts: { readonly folders: readonly string[]; readonly log: Log }) {
    this.#parts = parts;
  }

  /** One for a container; undefined where containers have to do without. */
  async next(): Promise<FirstProcess | undefined> {
    this.#file ??= this.#place();
    const file = await this.#file;
    // A byte that is seldom the last of a text: what may begin a note is kept back until more comes.
    return file === undefined ? undefined : { file, token: `\u0001${randomBytes(16).toString("hex")}` };
  }

  /** Whether an engine's refusal is about this: it does not see the file, or may not run it. No container gets one then. */
  isRefusedBy(message: string, { file }: FirstProcess): boolean {
    if (!message.includes(FIRST_INSIDE) && !message.includes(file)) return false;
    this.#giveUp(message);
    return true;
  }

  async #place(): Promise<string | undefined> {
    const program = firstProgram(process.arch);
    if (!program) return undefined;
    let problem: unknown;
    for (const folder of this.#parts.folders) {
      try {
        return await placeIn(folder, program);
      } catch (error) {
        problem = error;
      }
    }
    this.#giveUp(problem instanceof Error ? problem.message : String(problem));
    return undefined;
  }

  #giveUp(reason: string): void {
    this.#file = Promise.resolve(undefined);
    this.#parts.log.warn("answers of filters wait until the engine has taken their container apart", {
      reason,
    });
  }
}

/** Written under another name first: one that is run cannot be written. */
async function placeIn(folder: string, program: Buffer): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o711 });
  const file = join(folder, NAME);
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  try {
    await writeFile(draft, program);
    await chmod(draft, 0o755);
    await rename(draft, file);
    await run(file, [], { timeout: TRIAL_MS_MAX });
    return file;
  } catch (error) {
    for (const name of [draft, file]) await rm(name, { force: true });
    throw error;
  }
}

/** As engines tell that a program cannot be started. */
export function startProblem(program: string, errno: number): string {
  const isNamed = !program.includes("/");
  const why =
    errno === ENOENT
      ? isNamed
        ? "executable file not found in $PATH"
        : "no such file or directory"
      : errno === EACCES
        ? "permission denied"
        : errno === ENOEXEC
          ? `exec format error (${wrongMachine("exec format error")})`
          : getSystemErrorMessage(-errno);
  return `exec: ${JSON.stringify(program)}: ${why}`;
}
