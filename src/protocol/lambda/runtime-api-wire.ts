import type { IncomingMessage, ServerResponse } from "node:http";
import type { WantedState } from "./runtime-api-state.ts";

/** Names of the headers that the Runtime API reads and writes, lower case as node:http gives them. */
export const HEADER = {
  mode: "lambda-runtime-function-response-mode",
  errorType: "lambda-runtime-function-error-type",
  errorBody: "lambda-runtime-function-error-body",
} as const;

export const INTEGRATION_RESPONSE = "application/vnd.awslambda.http-integration-response";
const ERROR_CAUSE = "application/vnd.aws.lambda.error.cause+json";
/** What the service keeps of an error type; all else becomes `Function.Unknown` or `Runtime.Unknown`. */
const ERROR_TYPE = /^(Runtime|Function)\.[A-Z][a-zA-Z]+$/;

/** JSON as the service writes it: safe inside HTML, ended by a newline. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value).replace(/[<>&]/g, (sign) => `\\u00${sign.charCodeAt(0).toString(16)}`);
  return `${text}\n`;
}

export function reply(response: ServerResponse, status: number, value: unknown): void {
  const text = jsonText(value);
  response.sendDate = false;
  response.writeHead(status, [
    "Content-Type",
    "application/json",
    "Content-Length",
    String(Buffer.byteLength(text)),
  ]);
  response.end(text);
}

export function accept(response: ServerResponse): void {
  reply(response, 202, { status: "OK" });
}

export function refuse(
  response: ServerResponse,
  status: number,
  errorType: string,
  errorMessage: string,
): void {
  reply(response, status, { errorMessage, errorType });
}

export function refuseMove(response: ServerResponse, from: string, to: WantedState): void {
  refuse(
    response,
    403,
    "InvalidStateTransition",
    `State transition from ${from} to ${to} failed for runtime. Error: State transition is not allowed`,
  );
}

/** An error that the platform itself makes, as the invoker gets it. */
export function platformError(errorType: string, errorMessage: string): Uint8Array {
  return Buffer.from(JSON.stringify({ errorType, errorMessage }));
}

/** The type of an error for logs and metrics; it is not part of the payload. */
export function knownErrorType(header: string | string[] | undefined): string {
  const text = typeof header === "string" ? header : "";
  if (ERROR_TYPE.test(text)) return text;
  return text.startsWith("Function.") ? "Function.Unknown" : "Runtime.Unknown";
}

/** A short body; undefined if it has more than `bytesMax` or breaks off. It is read to its end. */
export async function readText(request: IncomingMessage, bytesMax: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  const end = await receive(
    request,
    bytesMax,
    (chunk) => void chunks.push(chunk),
    () => undefined,
  );
  return end === "complete" ? Buffer.concat(chunks).toString("utf8") : undefined;
}

/**
 * Gives each piece of a body to `take`, at most `bytesMax` in all. What goes beyond is read to its end and thrown away, so
 * that the client gets to see our answer; `onTooLarge` is called as soon as it is known.
 */
export async function receive(
  request: IncomingMessage,
  bytesMax: number,
  take: (chunk: Uint8Array) => Promise<void> | void,
  onTooLarge: () => void,
): Promise<"complete" | "too-large" | "truncated"> {
  let bytesLeft = bytesMax;
  let isTooLarge = Number(request.headers["content-length"]) > bytesMax;
  if (isTooLarge) onTooLarge();
  try {
    for await (const chunk of request) {
      bytesLeft -= chunk.length;
      if (isTooLarge) continue;
      if (bytesLeft >= 0) {
        await take(chunk);
      } else {
        isTooLarge = true;
        onTooLarge();
      }
    }
  } catch {
    // The connection broke. Why does not matter: the body is not whole.
    return isTooLarge ? "too-large" : "truncated";
  }
  return isTooLarge ? "too-large" : "complete";
}

/** The error as the invoker gets it: the bytes as sent, but for one content type whose `errorCause` is ours to drop. */
export function errorPayload(body: Uint8Array, contentType: string | undefined): Uint8Array {
  if (contentType?.split(";")[0]?.trim() !== ERROR_CAUSE) return body;
  try {
    const { errorCause: _dropped, ...rest } = JSON.parse(Buffer.from(body).toString("utf8"));
    return Buffer.from(JSON.stringify(rest));
  } catch {
    return body;
  }
}

/** Text as a header value: UTF-8 bytes, line ends and other controls as spaces (JSON means the same with them). */
export function headerText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not get into a header.
  return Buffer.from(text.replace(/[\u0000-\u001f\u007f]+/g, " "), "utf8").toString("latin1");
}
