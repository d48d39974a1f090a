import { imageArchitecture } from "../../core/architecture.ts";

/** As the kernel and those who ask it to run a program say it. */
const FORMAT_ERROR = /exec format error/i;

/** What is meant where a program could not be run for its format; undefined where `problem` is another one. */
export function wrongMachine(problem: string): string | undefined {
  if (!FORMAT_ERROR.test(problem)) return undefined;
  const own = imageArchitecture(process.arch);
  return `what is to be run is for other machines than this one (linux/${own}), or a script without #! in its first line`;
}
