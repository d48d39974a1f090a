import type { IncomingMessage, ServerResponse } from "node:http";
import type { Call, InvocationOutcome } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import { InitFailed } from "../protocol.ts";
import {
  failureInTrailers,
  platformOutcome,
  readError,
  receiverFor,
  refuseSize,
  streamHead,
  tooLarge,
} from "./runtime-api-response.ts";
import { mayMove, type RuntimeState, type WantedState } from "./runtime-api-state.ts";
import {
  accept,
  errorPayload,
  HEADER,
  headerText,
  knownErrorType,
  platformError,
  receive,
  refuse,
  refuseMove,
} from "./runtime-api-wire.ts";

/** A runtime that dies closes its connection first; its exit says more than half a response does. */
const EXIT_GRACE_MS = 100;

interface Invocation {
  readonly call: Call;
  readonly signal: AbortSignal;
  readonly settle: (outcome: InvocationOutcome) => void;
  isAnswered: boolean;
}

export interface SessionEvents {
  /** The first `next`. */
  readonly ready: () => void;
  readonly initFailed: (failure: InitFailed) => void;
}

/** What one runtime has asked for and been given: the Runtime API without its paths. */
export class RuntimeApiSession {
  readonly #events: SessionEvents;
  /** Calls of `next` that wait for an event; more than one only from a client that is not a proper runtime. */
  readonly #asking = new Set<ServerResponse>();
  #state: RuntimeState = "Started";
  /** The last one handed over. It stays after its end, to tell a second answer from a forged one. */
  #invocation: Invocation | undefined;
  #whenIdle: (() => void)[] = [];
  #exited: Promise<unknown> = new Promise(() => undefined);

  constructor(events: SessionEvents) {
    this.#events = events;
  }

  get state(): RuntimeState {
    return this.#state;
  }

  /** Tells when the program is gone, so that a crash can be told from a broken response. */
  watchExit(exited: Promise<unknown>): void {
    this.#exited = exited;
  }

  /** Hands over a call as soon as the runtime asks for one. Never settles if it does not answer. */
  hand(call: Call, signal: AbortSignal): Promise<InvocationOutcome> {
    return new Promise((resolve) => {
      this.#invocation = { call, signal, settle: resolve, isAnswered: false };
      if (this.#asking.size > 0) this.#deliver(call);
    });
  }

  idle(): Promise<void> {
    if (this.#state === "Ready") return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  next(response: ServerResponse): void {
    if (!mayMove(this.#state, "Ready")) {
      refuseMove(response, this.#state, "Ready");
      return;
    }
    const previous = this.#state;
    this.#asking.add(response);
    response.once("close", () => this.#asking.delete(response));
    if (previous !== "Running") this.#state = "Ready";
    if (previous === "Started") this.#events.ready();
    for (const tell of this.#whenIdle.splice(0)) tell();
    if (this.#invocation && !this.#invocation.isAnswered) this.#deliver(this.#invocation.call);
  }

  async respond(invocationId: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const invocation = this.#admit(invocationId, "InvocationResponse", request, response);
    if (!invocation) return;
    const mode = request.headers[HEADER.mode];
    if (mode !== undefined && mode !== "streaming") {
      const message = `${HEADER.mode}: expected "streaming" or no such header, got "${mode}"`;
      this.#answer(invocation, platformOutcome("Runtime.InvalidResponseModeHeader", message, false));
      request.resume();
      refuse(response, 400, "InvalidFunctionResponseMode", message);
      return;
    }
    const receiver = receiverFor(invocation.call, streamHead(request), invocation.signal);
    const { bytesMax } = receiver;
    const end = await receive(
      request,
      bytesMax,
      (chunk) => receiver.take(chunk),
      () => {
        this.#answer(invocation, tooLarge(bytesMax, receiver.isStreamed()));
        refuseSize(response, bytesMax);
      },
    );
    if (end === "truncated") await this.#answerTruncated(invocation, receiver.isStreamed());
    if (end !== "complete") return;
    this.#answer(invocation, failureInTrailers(request, receiver.isStreamed()) ?? receiver.finish());
    accept(response);
  }

  async fail(invocationId: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const invocation = this.#admit(invocationId, "InvocationErrorResponse", request, response);
    if (!invocation) return;
    const body = await readError(request, response);
    if (body === "truncated") {
      await this.#answerTruncated(invocation, false);
    } else if (body === "too-large") {
      this.#answer(invocation, tooLarge(RESPONSE_BYTES_MAX, false));
    } else {
      const errorType = knownErrorType(request.headers[HEADER.errorType]);
      const payload = errorPayload(body, request.headers["content-type"]);
      this.#answer(invocation, { kind: "threw", payload, errorType, isStreamed: false });
      accept(response);
    }
  }

  async failInit(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!mayMove(this.#state, "InitError")) {
      this.refuse("InitError", request, response);
      return;
    }
    this.#state = "InitError";
    const errorType = knownErrorType(request.headers[HEADER.errorType]);
    const body = await readError(request, response);
    const isReadable = typeof body !== "string" && body.length > 0;
    const payload = isReadable
      ? errorPayload(body, request.headers["content-type"])
      : platformError(errorType, "the runtime failed to initialise and gave no readable reason");
    this.#events.initFailed(new InitFailed(payload, errorType));
    if (typeof body !== "string") accept(response);
  }

  /** Answers a call that the present state does not allow. */
  refuse(wanted: WantedState, request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    refuseMove(response, this.#state, wanted);
  }

  #deliver(call: Call): void {
    this.#state = "Running";
    for (const response of this.#asking) writeEvent(response, call);
    this.#asking.clear();
  }

  /** The invocation with that id, its answer begun; undefined once the request was refused. */
  #admit(
    invocationId: string,
    wanted: "InvocationResponse" | "InvocationErrorResponse",
    request: IncomingMessage,
    response: ServerResponse,
  ): Invocation | undefined {
    const invocation = this.#invocation;
    if (invocation?.call.invocationId !== invocationId) {
      request.resume();
      refuse(response, 400, "InvalidRequestID", "Invalid request ID");
      return undefined;
    }
    if (!mayMove(this.#state, wanted)) {
      this.refuse(wanted, request, response);
      return undefined;
    }
    this.#state = wanted;
    return invocation;
  }

  #answer(invocation: Invocation, outcome: InvocationOutcome): void {
    this.#state = "ResponseSent";
    invocation.isAnswered = true;
    invocation.settle(outcome);
  }

  async #answerTruncated(invocation: Invocation, isStreamed: boolean): Promise<void> {
    const grace = Promise.withResolvers<"alive">();
    const timer = setTimeout(grace.resolve, EXIT_GRACE_MS, "alive");
    const end = await Promise.race([this.#exited, grace.promise]);
    clearTimeout(timer);
    if (end !== "alive") return;
    const message = "the connection was closed before the response was complete";
    this.#answer(invocation, platformOutcome("Runtime.TruncatedResponse", message, isStreamed));
  }
}

/** The event and its headers; one without a value is left out (developer guide, "Next invocation"). */
function writeEvent(response: ServerResponse, call: Call): void {
  if (call.input.kind !== "event") throw new TypeError("a runtime takes events, not HTTP requests");
  const { payload, contentType } = call.input;
  const headers = [
    "Content-Type",
    headerText(contentType) || "application/json",
    "Content-Length",
    String(payload.length),
    "Lambda-Runtime-Aws-Request-Id",
    call.invocationId,
    "Lambda-Runtime-Deadline-Ms",
    String(Math.floor(call.deadlineAt)),
    "Lambda-Runtime-Invoked-Function-Arn",
    call.functionArn,
  ];
  if (call.traceId) headers.push("Lambda-Runtime-Trace-Id", headerText(call.traceId));
  if (call.clientContext) headers.push("Lambda-Runtime-Client-Context", headerText(call.clientContext));
  response.sendDate = false;
  response.writeHead(200, headers);
  response.end(payload);
}
