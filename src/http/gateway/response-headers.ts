/** Rules for what a function answers with, so that no function can split a response or speak in our name. */

import { NOT_IN_A_VALUE, TOKEN } from "../header-syntax.ts";

/** The function has answered, but not with what HTTP can carry. The message says what is wrong, for its author. */
export class InvalidFunctionResponse extends Error {
  override readonly name = "InvalidFunctionResponse";
}

/** What every response to one request gets from us, whatever the function says. */
export interface ReplyHeaders {
  /** Names in lower case and values in turn: the request id, CORS. */
  readonly added: readonly string[];
  /** The function's own CORS headers are dropped, since its URL's configuration speaks. */
  readonly replacesCors: boolean;
}

const DROPPED = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "x-amzn-requestid",
]);

/** Collects the header section of one response. */
export class ResponseHeaders {
  readonly #reply: ReplyHeaders;
  readonly #flat: string[] = [];
  #contentLength: number | undefined;
  #hasType = false;

  constructor(reply: ReplyHeaders) {
    this.#reply = reply;
  }

  /**
   * Takes one header of the function. Hop-by-hop headers and ours are left out; `content-length` is only noted.
   *
   * @throws InvalidFunctionResponse for a name or value that HTTP cannot carry.
   */
  add(name: string, value: string): void {
    if (!TOKEN.test(name)) throw new InvalidFunctionResponse(`${JSON.stringify(name)} is not a header name`);
    if (NOT_IN_A_VALUE.test(value)) {
      throw new InvalidFunctionResponse(
        `the value of header "${name}" has characters that a header cannot carry`,
      );
    }
    const lower = name.toLowerCase();
    if (DROPPED.has(lower)) return;
    if (this.#reply.replacesCors && lower.startsWith("access-control-")) return;
    if (lower === "content-length") {
      this.#contentLength = readLength(value);
      return;
    }
    if (lower === "content-type") this.#hasType = true;
    this.#flat.push(name, value);
  }

  get hasType(): boolean {
    return this.#hasType;
  }

  /** As the function declared it. */
  get contentLength(): number | undefined {
    return this.#contentLength;
  }

  /** For `writeHead`. */
  finish(): string[] {
    this.#flat.push(...this.#reply.added);
    return this.#flat;
  }
}

/** Takes a server's headers as they are, but for those that its `Connection` header names as well. */
export function addServerHeaders(headers: ResponseHeaders, rawHeaders: readonly string[]): void {
  const named = new Set<string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== "connection") continue;
    for (const option of (rawHeaders[i + 1] ?? "").toLowerCase().split(",")) named.add(option.trim());
  }
  named.delete("content-length");
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    if (named.size > 0 && named.has(name.toLowerCase())) continue;
    headers.add(name, rawHeaders[i + 1] ?? "");
  }
}

/** @throws InvalidFunctionResponse for what cannot be the status of a final response. */
export function checkedStatus(status: unknown): number {
  const number = typeof status === "string" && /^\d{3}$/.test(status) ? Number(status) : status;
  if (typeof number === "number" && Number.isInteger(number) && number >= 200 && number <= 599) return number;
  throw new InvalidFunctionResponse(
    `statusCode must be a number from 200 to 599, got ${JSON.stringify(status)}`,
  );
}

/** Whether a response with that status has no body (RFC 9110 section 6.4.1). */
export function isBodiless(status: number): boolean {
  return status === 204 || status === 304;
}

function readLength(value: string): number {
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw new InvalidFunctionResponse(`content-length must be a number, got ${JSON.stringify(value)}`);
}
