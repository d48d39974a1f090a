/** What clients of our own API send about sources. */
import * as z from "zod";
import { parseHttpOrigin } from "../../../core/address.ts";
import { PlatformError } from "../../../core/errors.ts";
import type { Destination } from "../../../core/event.ts";
import { FILTERS_MAX } from "../../../core/event-filter.ts";
import { FUNCTION_NAME_RULE, type FunctionName, parseFunctionName } from "../../../core/ids.ts";
import { SOURCE_BATCH_MESSAGES_MAX, SOURCE_WINDOW_MS_MAX } from "../../../core/limits.ts";
import { parseSubjectUrl } from "../../../core/nats-address.ts";
import { parseQueueArn } from "../../../core/source.ts";
import type { NewSource, SourceChange } from "../../../registry/source-book.ts";
import type { NewOrigin } from "../../../registry/source-rules.ts";
import { parse } from "./wire.ts";

const CONCURRENCY_MAX = 1_000;
const ATTEMPTS_MAX = 1_000;
const SERVERS_MAX = 10;
const BATCH_DEFAULT = 10;

const Qualifier = z
  .string()
  .regex(/^(\$LATEST|[a-zA-Z0-9-_]{1,128})$/, "expected a version, an alias or $LATEST");
/** JSON; looked at more closely where patterns are known. */
const Pattern = z.record(z.string(), z.unknown());
const NatsName = z
  .string()
  .regex(/^[^\s.*>/\\]{1,255}$/, "expected a name without spaces, ., *, > and slashes");
const Secret = z
  .string()
  .min(1)
  .max(64 * 1024);

const settings = {
  batchSize: z.int().min(1).max(SOURCE_BATCH_MESSAGES_MAX),
  windowMs: z.int().min(0).max(SOURCE_WINDOW_MS_MAX),
  /** `null` takes the limit away. */
  concurrencyMax: z.int().min(1).max(CONCURRENCY_MAX).nullable(),
  partialFailures: z.boolean(),
  filters: z.array(Pattern).max(FILTERS_MAX),
  /** `FUNCTION[:QUALIFIER]` or an address; `null` takes it away. */
  onFailure: z.string().min(1).max(2_048).nullable(),
  isPaused: z.boolean(),
};

export const CreateSource = z.strictObject({
  function: z.string(),
  qualifier: Qualifier.optional(),
  /** The ARN of a queue, or addresses of NATS servers separated by commas. */
  from: z.string().min(1).max(2_048),
  ...z.strictObject(settings).partial().shape,
  endpoint: z.string().optional(),
  accessKeyId: z
    .string()
    .regex(/^[A-Za-z0-9_]{1,128}$/, "expected letters, digits and _")
    .optional(),
  user: z.string().min(1).max(256).optional(),
  secret: Secret.optional(),
  stream: NatsName.optional(),
  consumer: NatsName.optional(),
  subject: z
    .string()
    .regex(/^[^\s]{1,255}$/, "expected a subject without spaces")
    .optional(),
  startsAt: z.enum(["first", "new"]).optional(),
  attemptsMax: z.int().min(1).max(ATTEMPTS_MAX).optional(),
});

export const ChangeSource = z
  .strictObject({ function: z.string(), qualifier: Qualifier.nullable(), ...settings })
  .partial();

type Created = z.output<typeof CreateSource>;

/** @throws PlatformError `InvalidRequest`, `InvalidName`. */
export function parseCreateSource(body: unknown): NewSource {
  const given = parse(CreateSource, body, "body");
  const origin = given.from.startsWith("arn:") ? sqsOrigin(given) : natsOrigin(given);
  return {
    functionName: functionNamed(given.function),
    qualifier: given.qualifier,
    origin,
    batchMax: given.batchSize ?? BATCH_DEFAULT,
    windowMs: given.windowMs ?? 0,
    concurrencyMax: given.concurrencyMax ?? undefined,
    reportsFailures: given.partialFailures ?? false,
    filters: (given.filters ?? []).map((pattern) => JSON.stringify(pattern)),
    onFailure: destinationOf(given.onFailure, origin.kind),
    isPaused: given.isPaused ?? false,
    tags: {},
  };
}

/** @throws PlatformError `InvalidRequest`, `InvalidName`. */
export function parseChangeSource(body: unknown, kind: NewOrigin["kind"]): SourceChange {
  const given = parse(ChangeSource, body, "body");
  return {
    ...(given.function !== undefined && {
      functionName: functionNamed(given.function),
      qualifier: undefined,
    }),
    ...(given.qualifier !== undefined && { qualifier: given.qualifier ?? undefined }),
    ...(given.batchSize !== undefined && { batchMax: given.batchSize }),
    ...(given.windowMs !== undefined && { windowMs: given.windowMs }),
    ...(given.concurrencyMax !== undefined && { concurrencyMax: given.concurrencyMax ?? undefined }),
    ...(given.partialFailures !== undefined && { reportsFailures: given.partialFailures }),
    ...(given.filters !== undefined && { filters: given.filters.map((pattern) => JSON.stringify(pattern)) }),
    ...(given.onFailure !== undefined && { onFailure: destinationOf(given.onFailure, kind) }),
    ...(given.isPaused !== undefined && { isPaused: given.isPaused }),
  };
}

function sqsOrigin(given: Created): NewOrigin {
  if (!parseQueueArn(given.from)) {
    throw new PlatformError(
      "InvalidRequest",
      `from: expected arn:aws:sqs:REGION:ACCOUNT:NAME or nats://HOST:PORT, got ${JSON.stringify(given.from)}`,
    );
  }
  refuse(given, ["user", "stream", "consumer", "subject", "startsAt", "attemptsMax"], "streams of NATS");
  const { accessKeyId, secret, endpoint } = given;
  if ((accessKeyId === undefined) !== (secret === undefined)) {
    throw new PlatformError("InvalidRequest", "accessKeyId and secret: send both, or neither");
  }
  return {
    kind: "sqs",
    queueArn: given.from,
    endpoint: endpoint === undefined ? undefined : plainOrigin(endpoint),
    login: accessKeyId === undefined || secret === undefined ? undefined : { accessKeyId, secret },
  };
}

function plainOrigin(text: string): string {
  const origin = parseHttpOrigin(text);
  if (origin !== undefined) return origin;
  throw new PlatformError(
    "InvalidRequest",
    `endpoint: expected http://HOST:PORT or https://HOST, got ${JSON.stringify(text)}`,
  );
}

function natsOrigin(given: Created): NewOrigin {
  refuse(given, ["endpoint", "accessKeyId"], "queues of SQS");
  const servers = given.from.split(",").map((server) => natsServer(server.trim()));
  if (servers.length > SERVERS_MAX) {
    throw new PlatformError("InvalidRequest", `from: expected at most ${SERVERS_MAX} servers`);
  }
  if (given.stream === undefined) {
    throw new PlatformError("InvalidRequest", "stream: which stream of that server is to be read");
  }
  if (given.user !== undefined && given.secret === undefined) {
    throw new PlatformError("InvalidRequest", "user: send the user's password as secret");
  }
  const { user, secret, qualifier } = given;
  return {
    kind: "nats",
    servers,
    stream: given.stream,
    // Aliases read for themselves.
    consumer: given.consumer ?? [given.function, qualifier?.replace("$", "")].filter(Boolean).join("-"),
    subject: given.subject,
    startsAt: given.startsAt ?? "first",
    attemptsMax: given.attemptsMax,
    login: secret === undefined ? undefined : { user, secret },
  };
}

/** A password in an address would be shown with it. */
function natsServer(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isServer =
    url && /^(nats|tls):$/.test(url.protocol) && url.hostname !== "" && /^\/?$/.test(url.pathname);
  if (isServer && (url.username !== "" || url.password !== "")) {
    throw new PlatformError(
      "InvalidRequest",
      "from: leave name and password out, and send them as user and secret",
    );
  }
  if (isServer && url.search === "" && url.hash === "") return `${url.protocol}//${url.host}`;
  throw new PlatformError(
    "InvalidRequest",
    `from: expected arn:aws:sqs:REGION:ACCOUNT:NAME or nats://HOST:PORT, got ${JSON.stringify(text)}`,
  );
}

function refuse(given: Created, names: readonly (keyof Created)[], whose: string): void {
  for (const name of names) {
    if (given[name] !== undefined) throw new PlatformError("InvalidRequest", `${name}: only for ${whose}`);
  }
}

function functionNamed(text: string): FunctionName {
  const name = parseFunctionName(text);
  if (name) return name;
  throw new PlatformError(
    "InvalidName",
    `function: expected ${FUNCTION_NAME_RULE}, got ${JSON.stringify(text)}`,
  );
}

function destinationOf(text: string | null | undefined, kind: NewOrigin["kind"]): Destination | undefined {
  if (text === null || text === undefined) return undefined;
  if (kind === "sqs") {
    throw new PlatformError(
      "InvalidRequest",
      "onFailure: a queue of SQS keeps what failed too often by its own redrive policy; set that",
    );
  }
  const subject = parseSubjectUrl(text);
  if (subject !== undefined) return { kind: "url", url: subject };
  if (/^https?:/i.test(text)) {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url && url.username === "" && url.password === "" && url.hash === "")
      return { kind: "url", url: url.href };
  } else {
    const [name = "", qualifier, ...rest] = text.split(":");
    const functionName = parseFunctionName(name);
    const isQualifier = qualifier === undefined || Qualifier.safeParse(qualifier).success;
    if (functionName && isQualifier && rest.length === 0)
      return { kind: "function", functionName, qualifier };
  }
  throw new PlatformError(
    "InvalidRequest",
    `onFailure: expected FUNCTION, FUNCTION:QUALIFIER, nats://HOST:PORT/SUBJECT or an address without name and password, got ${JSON.stringify(text)}`,
  );
}
