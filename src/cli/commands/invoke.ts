import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { CliError, usageError } from "../cli-error.ts";
import type { RawAnswer } from "../client.ts";
import type { Command } from "../command.ts";
import { qualifiedName } from "../names.ts";
import { isCode, messageOf } from "../settings.ts";
import { plural } from "../units.ts";

export interface InvokeOptions {
  readonly data?: string;
  readonly log?: boolean;
  readonly clientContext?: string;
  readonly async?: boolean;
  readonly idempotencyKey?: string;
}

/** The longest a function may run, and time to start it and to send its answer. */
const SILENCE_MS_MAX = 960_000;
const SILENT_INPUT_MS = 1_500;
/** Of a failed function's stack, what stderr repeats. */
const STACK_LINES_MAX = 20;

/**
 * Calls a function as the AWS CLI does. The answer goes to stdout byte by byte, that of a failed function too; what
 * went wrong is said on stderr, and the exit code tells.
 */
export async function invoke(command: Command, target: string, options: InvokeOptions): Promise<void> {
  const { host, output } = command;
  const { name, qualifier } = qualifiedName(target);
  checkOptions(options);
  const payload = await readPayload(command, options.data);
  const answer = await (await command.client()).raw(
    "POST",
    `/2015-03-31/functions/${encodeURIComponent(name)}/invocations`,
    {
      query: { Qualifier: qualifier },
      upload: payload,
      headers: {
        "content-type": "application/octet-stream",
        "x-amz-log-type": options.log ? "Tail" : "None",
        ...(options.async && { "x-amz-invocation-type": "Event" }),
        ...(options.idempotencyKey !== undefined && { "idempotency-key": options.idempotencyKey }),
        ...(options.clientContext !== undefined && {
          "x-amz-client-context": encodeContext(options.clientContext),
        }),
      },
      silenceMsMax: SILENCE_MS_MAX,
    },
  );
  if (options.async) {
    await sayAccepted(command, answer);
    return;
  }
  const functionError = answer.headers["x-amz-function-error"];
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body) {
    await output.write(chunk);
    // An error is short and is needed whole, an answer is neither.
    if (functionError !== undefined) chunks.push(chunk);
    else chunks[0] = chunk;
  }
  const lastChunk = chunks.at(-1);
  if (host.stdout.isTTY && lastChunk !== undefined && lastChunk.at(-1) !== 10) await output.write("\n");

  const logResult = answer.headers["x-amz-log-result"];
  if (typeof logResult === "string")
    output.note(Buffer.from(logResult, "base64").toString().trimEnd(), "dim");
  if (functionError === undefined) return;

  const requestId = answer.headers["x-amzn-requestid"];
  throw functionFailure(
    target,
    name,
    Buffer.concat(chunks).toString(),
    typeof requestId === "string" ? requestId : undefined,
  );
}

function checkOptions(options: InvokeOptions): void {
  if (options.idempotencyKey !== undefined && !options.async) {
    throw usageError("--idempotency-key: only events are told apart by it; add --async");
  }
  if (options.async && (options.log || options.clientContext !== undefined)) {
    throw usageError("--async: nobody waits for the log of an event, and it has no client context");
  }
}

async function sayAccepted({ output }: Command, { headers }: RawAnswer): Promise<void> {
  const eventId = headers["x-lambdad-event-id"];
  if (typeof eventId !== "string") {
    throw CliError.local("UnexpectedAnswer", "the server gave no id of the event");
  }
  if (output.isJson) await output.json({ eventId, invocationId: headers["x-lambdad-invocation-id"] });
  else await output.write(`${eventId} accepted\n`);
}

async function readPayload(command: Command, data: string | undefined): Promise<Uint8Array> {
  const { host } = command;
  if (data === undefined)
    return host.stdin.isTTY || !(await isPiped()) ? Buffer.alloc(0) : readInput(command);
  if (data === "-") return readInput(command);
  if (!data.startsWith("@")) return Buffer.from(data);
  const file = resolve(host.workingDir, data.slice(1));
  try {
    return await readFile(file);
  } catch (error) {
    throw CliError.local(
      "FileUnusable",
      isCode(error, "ENOENT")
        ? `--data: there is no ${file}`
        : `--data: cannot read ${file}: ${messageOf(error)}`,
    );
  }
}

async function isPiped(): Promise<boolean> {
  const { fstatSync } = await import("node:fs");
  try {
    const stdin = fstatSync(0);
    return stdin.isFIFO() || stdin.isFile() || stdin.isSocket();
  } catch {
    return false; // Closed: there is nothing to read.
  }
}

/** Some parents leave a pipe open that nobody writes to; whoever wonders then is told what is waited for. */
async function readInput({ host, output }: Command): Promise<Uint8Array> {
  const wondering = setTimeout(() => {
    output.note("reading the input from stdin until it ends; pass --data '{}' to send something else");
  }, SILENT_INPUT_MS);
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of host.stdin) chunks.push(chunk);
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(wondering);
  }
}

function encodeContext(text: string): string {
  try {
    JSON.parse(text);
  } catch (error) {
    throw usageError(`--client-context: expected JSON, got ${JSON.stringify(text)}: ${messageOf(error)}`);
  }
  return Buffer.from(text).toString("base64");
}

/** Lambda's error document: `{errorType, errorMessage, trace | stackTrace}`, all of it up to the function. */
function functionFailure(
  target: string,
  name: string,
  payload: string,
  requestId: string | undefined,
): CliError {
  let document: unknown;
  try {
    document = JSON.parse(payload);
  } catch {
    // A function in any language may answer an error that is no JSON: then its text is all there is.
  }
  const members = new Map(typeof document === "object" && document !== null ? Object.entries(document) : []);
  const type = String(members.get("errorType") ?? "Error");
  const message = String(members.get("errorMessage") ?? payload);
  const trace: unknown = members.get("trace") ?? members.get("stackTrace");
  const hint = `lambda logs ${name}${requestId === undefined ? "" : ` --id ${requestId}`}`;
  const isTimeout = type === "Sandbox.Timedout" || /Task timed out after [\d.]+ seconds/.test(message);
  return CliError.local(
    isTimeout ? "TimedOut" : "FunctionFailed",
    `${target} failed: ${type}: ${message}${formatTrace(trace)}`,
    hint,
  );
}

function formatTrace(trace: unknown): string {
  if (!Array.isArray(trace)) return "";
  // Node's first line repeats type and message.
  const lines = trace.map((line) => String(line).trimEnd()).filter((line) => /^\s/.test(line));
  const shown = lines.slice(0, STACK_LINES_MAX);
  if (lines.length > shown.length) shown.push(`  … and ${plural(lines.length - shown.length, "line")} more`);
  return shown.map((line) => `\n${line}`).join("");
}
