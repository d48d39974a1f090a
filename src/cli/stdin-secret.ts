import { CliError, usageError } from "./cli-error.ts";
import type { Command } from "./command.ts";

/** A secret is a line; a file given by mistake is refused before it is sent anywhere. */
const SECRET_BYTES_MAX = 1_024;

/** The line that `--secret-from-stdin` finds there. `example` stands below the complaint. @throws CliError `Usage` */
export async function readSecret({ host, output }: Command, example: string): Promise<string> {
  if (host.stdin.isTTY) output.note("type the secret and end with Enter and Ctrl-D");
  let text = "";
  for await (const chunk of host.stdin) {
    text += chunk;
    if (text.length > SECRET_BYTES_MAX)
      throw usageError("--secret-from-stdin: expected one line on stdin, got more");
  }
  const secret = text.trim();
  if (/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(secret)) return secret;
  throw CliError.local(
    "Usage",
    `--secret-from-stdin: expected one line of printable characters on stdin, got ${secret === "" ? "nothing" : "others"}`,
    example,
  );
}
