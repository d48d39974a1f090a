/**
 * Reads a request that came whole: head and body in what was read from the socket, framed by nothing or by one
 * Content-Length, with nothing to negotiate. That is nearly every call, and reading it takes a fraction of what a parser
 * takes that must be able to stop at any byte.
 *
 * The grammar is narrower than HTTP's on purpose (RFC 9112 sections 2 to 6): whatever is not in it, right or wrong, is left
 * to node:http, which then judges it. So nothing is accepted here that node:http would read in another way.
 */
import type { Socket } from "node:net";
import { HEADER_BYTES_MAX, HEADERS_MAX } from "../../core/limits.ts";
import { NOT_IN_A_VALUE, TOKEN } from "../header-syntax.ts";

/** A request of which nothing is still to come. */
export class PlainRequest {
  readonly method: string;
  readonly url: string;
  /** Names and values in turn, as received. */
  readonly rawHeaders: readonly string[];
  readonly httpVersion = "1.1";
  /** As node:http has it: all of the request has been received. */
  readonly complete = true;
  readonly socket: Socket;
  /** Undefined if there is none, or an empty one. A view of what was received. */
  readonly body: Buffer | undefined;

  constructor(socket: Socket, head: PlainHead, body: Buffer | undefined) {
    this.socket = socket;
    this.method = head.method;
    this.url = head.url;
    this.rawHeaders = head.fields.rawHeaders;
    this.body = body;
  }
}

export interface PlainHead {
  /** All that it was read from, to know it again where a request has no body; otherwise empty. */
  readonly text: string;
  /** Where the body begins. */
  readonly bytes: number;
  readonly method: string;
  readonly url: string;
  readonly fields: HeaderFields;
}

/** A header section, as far as framing needs it. */
export interface HeaderFields {
  /** The section as it was received, to know it again: on one connection it is mostly the same. */
  readonly text: string;
  readonly rawHeaders: readonly string[];
  readonly contentLength: number;
  /** The connection ends behind the answer. */
  readonly closes: boolean;
}

/** Larger bodies are read while they come. */
export const PLAIN_BODY_BYTES_MAX = 64 * 1024;

const HEAD_END = "\r\n\r\n";
/** Methods whose requests have no meaning of their own for a connection, in the spelling that counts. */
const REQUEST_LINE = /^(GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS) (\/[\x21-\x22\x24-\x7e]*) HTTP\/1\.1$/;
const LENGTH = /^\d{1,8}$/;

/**
 * The head that `text` (Latin-1) begins with; undefined if it is not plain, or not whole. `known` is that of the request
 * before: clients mostly ask for the same again, or send the same headers.
 */
export function parsePlainHead(text: string, known: PlainHead | undefined): PlainHead | undefined {
  if (text === known?.text) return known;
  const emptyLineAt = text.indexOf(HEAD_END);
  const end = emptyLineAt + HEAD_END.length;
  if (emptyLineAt === -1 || end > HEADER_BYTES_MAX) return undefined;
  const lineEnd = text.indexOf("\r\n");
  const line = REQUEST_LINE.exec(text.slice(0, lineEnd));
  if (!line) return undefined;
  const section = text.slice(lineEnd + 2, end);
  const fields = known?.fields.text === section ? known.fields : parseFields(section);
  if (!fields) return undefined;
  const isAll = end === text.length;
  return { text: isAll ? text : "", bytes: end, method: line[1] ?? "", url: line[2] ?? "", fields };
}

/** `section` ends with an empty line. */
function parseFields(section: string): HeaderFields | undefined {
  const rawHeaders: string[] = [];
  let hosts = 0;
  let contentLength: number | undefined;
  let closes = false;
  const end = section.length - 2;
  for (let at = 0; at < end; ) {
    const lineEnd = section.indexOf("\r\n", at);
    const colon = section.indexOf(":", at);
    if (colon === -1 || colon > lineEnd) return undefined;
    const name = section.slice(at, colon);
    const value = withoutBlanks(section, colon + 1, lineEnd);
    if (!TOKEN.test(name) || NOT_IN_A_VALUE.test(value)) return undefined;
    switch (name.toLowerCase()) {
      case "host":
        hosts += 1;
        break;
      case "content-length":
        if (contentLength !== undefined || !LENGTH.test(value)) return undefined;
        contentLength = Number(value);
        break;
      case "connection": {
        const option = value.toLowerCase();
        if (option === "close") closes = true;
        else if (option !== "keep-alive") return undefined;
        break;
      }
      case "transfer-encoding":
      case "expect":
      case "upgrade":
      case "trailer":
        return undefined;
    }
    rawHeaders.push(name, value);
    at = lineEnd + 2;
  }
  if (hosts !== 1 || rawHeaders.length > HEADERS_MAX * 2) return undefined;
  return { text: section, rawHeaders, contentLength: contentLength ?? 0, closes };
}

/** Without the optional spaces and tabs around a value. */
function withoutBlanks(text: string, from: number, to: number): string {
  let [start, end] = [from, to];
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
