/**
 * The Extensions API, version 2020-01-01, of one sandbox: who has registered, and what each is to be told.
 *
 *   POST /2020-01-01/extension/register      200 with an identifier
 *   GET  /2020-01-01/extension/event/next    long poll: INVOKE or SHUTDOWN
 *   POST /2020-01-01/extension/init/error    202; it cannot start
 *   POST /2020-01-01/extension/exit/error    202; it is about to leave
 *
 * External extensions are programs in /opt/extensions, which are known by name before they register; internal ones are
 * parts of the runtime's process. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Version } from "../../core/function.ts";
import type { Call } from "../../core/invocation.ts";
import { accept, readText, refuse, reply } from "./runtime-api-wire.ts";

export const EXTENSIONS_MAX = 10;
/** Of a registration, which is a short list. */
const REGISTRATION_BYTES_MAX = 16 * 1024;
/** Of the description of an error, which nobody reads but the log. */
const ERROR_BYTES_MAX = 256 * 1024;

const IDENTIFIER = "lambda-extension-identifier";
const NOT_ALLOWED = "State transition is not allowed";

type ExtensionEvent = "INVOKE" | "SHUTDOWN";

/** In the words of the service, which appear in its 403 answers. */
type ExtensionState = "Started" | "Registered" | "Ready" | "Running" | "InitError" | "ExitError" | "Exited";

/**
 *   Started ──► Registered ──► Ready ◄──► Running
 *                  │             │           │
 *                  ├─► InitError └──┬────────┘
 *                  └─► ExitError ◄──┘
 */
const NEXT: Readonly<Record<ExtensionState, readonly ExtensionState[]>> = {
  Started: ["Registered", "Exited"],
  Registered: ["Ready", "InitError", "ExitError", "Exited"],
  Ready: ["Ready", "Running", "ExitError", "Exited"],
  Running: ["Ready", "ExitError", "Exited"],
  InitError: ["Exited"],
  ExitError: ["Exited"],
  Exited: [],
};

export interface Extension {
  readonly name: string;
  readonly id: string;
  readonly isExternal: boolean;
  events: ReadonlySet<ExtensionEvent>;
  state: ExtensionState;
  /** Its long poll. */
  asking: ServerResponse | undefined;
  /** What it is to be told when it asks. */
  pending: object | undefined;
}

/** What becomes of extensions, as those who run them need to know. */
export interface ExtensionEvents {
  /** Somebody registered, asked for an event, left or failed: what is waited for may have come. */
  readonly changed: () => void;
  readonly registered: (extension: Extension) => void;
  readonly failed: (
    extension: Extension,
    failure: { readonly errorType: string; readonly reason: string },
  ) => void;
}

export class Extensions {
  readonly #version: Version;
  readonly #accountId: string;
  readonly #events: ExtensionEvents;
  readonly #all = new Map<string, Extension>();
  #isOpen = true;

  constructor(parts: {
    readonly version: Version;
    readonly accountId: string;
    /** Names of the programs in /opt/extensions. */
    readonly externals: readonly string[];
    readonly events: ExtensionEvents;
  }) {
    this.#version = parts.version;
    this.#accountId = parts.accountId;
    this.#events = parts.events;
    for (const name of parts.externals) this.#add(name, true);
  }

  get all(): readonly Extension[] {
    return [...this.#all.values()];
  }

  /** All programs in /opt/extensions have registered. */
  get areRegistered(): boolean {
    return this.all.every(({ state }) => state !== "Started");
  }

  /** All wait for their next event, as far as they are told of calls. During initialisation everybody has to. */
  areReady(during: "init" | "invoke"): boolean {
    return this.all.every(
      ({ state, events }) =>
        state === "Ready" || state === "Exited" || (during === "invoke" && !events.has("INVOKE")),
    );
  }

  find(request: IncomingMessage, response: ServerResponse): Extension | undefined {
    const id = request.headers[IDENTIFIER];
    if (typeof id !== "string" || id === "") {
      refuse(
        response,
        403,
        "Extension.MissingExtensionIdentifier",
        "Missing Lambda-Extension-Identifier header",
      );
      return undefined;
    }
    if (!UUID.test(id)) {
      refuse(response, 403, "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier");
      return undefined;
    }
    const found = this.all.find((extension) => extension.id === id && extension.state !== "Started");
    if (!found) refuse(response, 403, "Extension.UnknownExtensionIdentifier", `Unknown extension ${id}`);
    return found;
  }

  async register(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const name = request.headers["lambda-extension-name"];
    const text = await readText(request, REGISTRATION_BYTES_MAX);
    if (typeof name !== "string" || name === "") {
      return refuse(response, 403, "Extension.InvalidExtensionName", "Empty extension name");
    }
    const events = parseEvents(text);
    if (typeof events === "string") return refuse(response, 403, "InvalidRequestFormat", events);
    const external = this.#all.get(name);
    const isExternal = external?.isExternal === true;
    for (const event of events) {
      const problem = problemWith(event, isExternal);
      if (problem !== undefined) {
        return refuse(response, 403, "Extension.InvalidEventType", `${event}: ${problem}`);
      }
    }
    const extension = isExternal ? external : this.#addInternal(name, response);
    if (!extension || !this.#move(extension, "Registered", response)) return;
    extension.events = new Set(events.filter(isEvent));
    response.setHeader("Lambda-Extension-Identifier", extension.id);
    const features = String(request.headers["lambda-extension-accept-feature"] ?? "").split(",");
    const { functionName, label, config } = this.#version;
    reply(response, 200, {
      functionName,
      functionVersion: label,
      handler: config.entry.kind === "handler" ? config.entry.handler : "",
      ...(features.some((feature) => feature.trim() === "accountId") && { accountId: this.#accountId }),
    });
    this.#events.registered(extension);
    this.#events.changed();
  }

  next(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const extension = this.find(request, response);
    if (!extension || !this.#move(extension, "Ready", response)) return;
    extension.asking = response;
    response.once("close", () => {
      if (extension.asking === response) extension.asking = undefined;
    });
    if (extension.pending) this.#tell(extension, extension.pending);
    this.#events.changed();
  }

  async fail(kind: "init" | "exit", request: IncomingMessage, response: ServerResponse): Promise<void> {
    const extension = this.find(request, response);
    const reason = await readText(request, ERROR_BYTES_MAX);
    if (!extension) return;
    const type = request.headers["lambda-extension-function-error-type"];
    if (typeof type !== "string" || type === "") {
      const message = "Lambda-Extension-Function-Error-Type not found";
      return refuse(response, 403, "Extension.MissingHeader", message);
    }
    if (!this.#move(extension, kind === "init" ? "InitError" : "ExitError", response)) return;
    accept(response);
    const errorType = kind === "init" ? "Extension.InitError" : "Extension.ExitError";
    this.#events.failed(extension, { errorType, reason: `${type} ${reason}`.trim() });
    this.#events.changed();
  }

  /** From now on nobody else can register. */
  close(): void {
    this.#isOpen = false;
  }

  /** Tells those who want to know of a call. */
  invoke(call: Call): void {
    const tracing = call.traceId ? { type: "X-Amzn-Trace-Id", value: call.traceId } : undefined;
    this.#tellAll("INVOKE", {
      eventType: "INVOKE",
      deadlineMs: Math.floor(call.deadlineAt),
      requestId: call.invocationId,
      invokedFunctionArn: call.functionArn,
      ...(tracing && { tracing }),
    });
  }

  /** Tells those who want to know that it is over at `deadlineAt`. */
  shutDown(shutdownReason: string, deadlineAt: number): void {
    this.#tellAll("SHUTDOWN", { eventType: "SHUTDOWN", shutdownReason, deadlineMs: Math.floor(deadlineAt) });
  }

  /** A program has left. */
  exited(name: string): Extension | undefined {
    const extension = this.#all.get(name);
    if (!extension) return undefined;
    extension.state = "Exited";
    return extension;
  }

  #tellAll(event: ExtensionEvent, record: object): void {
    for (const extension of this.all) {
      if (!extension.events.has(event) || extension.state === "Exited") continue;
      if (extension.asking) this.#tell(extension, record);
      else extension.pending = record;
    }
  }

  #tell(extension: Extension, event: object): void {
    const { asking } = extension;
    extension.asking = undefined;
    extension.pending = undefined;
    extension.state = "Running";
    asking?.setHeader("Lambda-Extension-Event-Identifier", randomUUID());
    if (asking) reply(asking, 200, event);
  }

  #add(name: string, isExternal: boolean): Extension {
    const extension: Extension = {
      name,
      id: randomUUID(),
      isExternal,
      events: new Set(),
      state: "Started",
      asking: undefined,
      pending: undefined,
    };
    this.#all.set(name, extension);
    return extension;
  }

  #addInternal(name: string, response: ServerResponse): Extension | undefined {
    if (!this.#isOpen) {
      refuse(response, 403, "Extension.RegistrationClosed", "Extension registration closed already");
    } else if (this.#all.has(name)) {
      refuse(response, 403, "Extension.InvalidExtensionState", "Extension with this name already registered");
    } else if (this.#all.size >= EXTENSIONS_MAX) {
      refuse(response, 403, "Extension.TooManyExtensions", `Extension limit (${EXTENSIONS_MAX}) reached`);
    } else {
      return this.#add(name, false);
    }
    return undefined;
  }

  #move(extension: Extension, to: ExtensionState, response: ServerResponse): boolean {
    const { state, name } = extension;
    if (NEXT[state].includes(to)) {
      extension.state = to;
      return true;
    }
    const message = `State transition from ${state} to ${to} failed for extension ${name}. Error: ${NOT_ALLOWED}`;
    refuse(response, 403, "Extension.InvalidExtensionState", message);
    return false;
  }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** What it wants to be told, or why that cannot be read. */
function parseEvents(text: string | undefined): readonly string[] | string {
  if (text === undefined) return `the body has more than ${REGISTRATION_BYTES_MAX} bytes`;
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    return String(error);
  }
  // aws-lambda-go sends null for an empty list.
  const events = Object(body).events ?? [];
  const configurationKeys = Object(body).configurationKeys ?? [];
  if (Array.isArray(configurationKeys) && configurationKeys.length > 0) {
    return "configurationKeys are deprecated; use environment variables instead";
  }
  if (!Array.isArray(events) || events.some((event) => typeof event !== "string")) {
    return "events: expected a list of INVOKE and SHUTDOWN";
  }
  return events.map(String);
}

function problemWith(event: string, isExternal: boolean): string | undefined {
  if (!isEvent(event)) return "ErrorInvalidEventType";
  return !isExternal && event === "SHUTDOWN" ? "ShutdownEventNotSupportedForInternalExtension" : undefined;
}

function isEvent(event: string): event is ExtensionEvent {
  return event === "INVOKE" || event === "SHUTDOWN";
}
