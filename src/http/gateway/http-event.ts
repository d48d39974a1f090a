/** What the payload formats have in common: a request as facts, and a response as what is sent. */
import type { InvocationId } from "../../core/ids.ts";
import type { RequestHead } from "./request-headers.ts";
import type { ReplyHeaders } from "./response-headers.ts";

/** A way to hand a request to a handler, and to read what it returns. */
export interface HandlerFormat {
  /** The event as UTF-8 JSON. */
  eventOf(facts: HttpEvent): Buffer;
  /** @throws InvalidFunctionResponse if the result describes no response. */
  answerOf(payload: Uint8Array, reply: ReplyHeaders): HttpAnswer;
  /** Whether servers and filters get the event as well, as a raw invoke gives it to them. */
  readonly isForAll: boolean;
}

export interface HttpEvent {
  readonly invocationId: InvocationId;
  readonly method: string;
  /** `HTTP/1.1`. */
  readonly protocol: string;
  readonly path: string;
  readonly query: string;
  readonly host: string;
  readonly head: RequestHead;
  /** Headers that we add: names in lower case and values in turn. The trace id needs no escaping in JSON. */
  readonly addedHeaders: readonly string[];
  readonly sourceIp: string;
  readonly body: Buffer | undefined;
  /** Id of the function URL, the function's name, or the host of a route. */
  readonly apiId: string;
  readonly caller: SignedCaller | undefined;
  readonly routed: RoutedFacts | undefined;
  /** Ms since epoch. */
  readonly receivedAt: number;
}

/** What an event says of the route that it came by. */
export interface RoutedFacts {
  /** `GET /stock/{symbol}` */
  readonly key: string;
  /** `/stock/{symbol}` */
  readonly resource: string;
  readonly parameters: readonly (readonly [name: string, value: string])[];
  readonly stageVariables: readonly (readonly [name: string, value: string])[];
  /** Of this installation; twelve digits. */
  readonly accountId: string;
  /** Who called with a key. */
  readonly caller: SignedCaller | undefined;
  readonly jwt: JwtFacts | undefined;
}

/** A token that was checked. */
export interface JwtFacts {
  /** Names and values, as text. */
  readonly claims: readonly (readonly [name: string, value: string])[];
  /** Undefined if the route asks for none. */
  readonly scopes: readonly string[] | undefined;
}

/** Who signed a request to a function URL with IAM authentication. */
export interface SignedCaller {
  readonly accessKey: string;
  readonly accountId: string;
  readonly userArn: string;
  readonly userId: string;
}

export interface HttpAnswer {
  readonly status: number;
  /** For `writeHead`, without a length. */
  readonly headers: string[];
  readonly body: string | Uint8Array;
}
