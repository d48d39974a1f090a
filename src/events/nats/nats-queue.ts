/**
 * A stream of NATS JetStream, read by a durable pull consumer: what was received is ours until its ack wait is over,
 * which "in progress" renews; `ack` removes it, `nak` with a delay lets it come again, `term` never.
 * https://docs.nats.io/nats-concepts/jetstream/consumers
 */
import { isIP } from "node:net";
import { type ConnectionOptions, checkServerIdentity } from "node:tls";
import {
  AckPolicy,
  type Consumer,
  type ConsumerInfo,
  DeliverPolicy,
  JetStreamApiError,
  type JsMsg,
  jetstream,
  jetstreamManager,
} from "@nats-io/jetstream";
import {
  type Authenticator,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nanos,
  type TlsOptions,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-node";
import { isPlatformError, PlatformError } from "../../core/errors.ts";
import type { NatsOrigin, OriginFacts } from "../../core/source.ts";
import type { QueueMessage, SourceQueue } from "../source-queue.ts";

export interface NatsQueueParts {
  readonly origin: NatsOrigin;
  /** Of `origin.login`, opened. */
  readonly secret: string | undefined;
  /** Where a consumer that begins with new messages begins, ms since epoch. */
  readonly createdAt: number;
}

const CONNECT_MS_MAX = 5_000;
const ANSWER_MS_MAX = 5_000;
/** Of consumers that are made here. */
const ACK_WAIT_MS = 30_000;
const ACK_PENDING_MAX = 20_000;
/** The least that a pull may wait. */
const WAIT_MS_MIN = 1_000;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 300_000;
const CONSUMER_NOT_FOUND = 10_014;
const STREAM_NOT_FOUND = 10_059;

export function openNatsQueue(parts: NatsQueueParts): SourceQueue {
  const { origin } = parts;
  const messages = new WeakMap<QueueMessage, JsMsg>();
  let link: Promise<Link> | undefined;
  let consumer: Consumer | undefined;
  let hiddenMs = ACK_WAIT_MS;
  let attemptsMax = origin.attemptsMax;

  async function connected(): Promise<Link> {
    link ??= openLink(parts).catch((error: unknown) => {
      link = undefined;
      throw error;
    });
    return await link;
  }

  async function findConsumer({ connection }: Link): Promise<Consumer> {
    const { config } = await ensureConsumer(connection, parts);
    hiddenMs = Math.max(1_000, (config.ack_wait ?? nanos(ACK_WAIT_MS)) / 1e6);
    // The server says nothing when it gives a message up by itself, so its last time is the last one here, too.
    const limits = [origin.attemptsMax, config.max_deliver].filter((max) => max !== undefined && max > 0);
    attemptsMax = limits.length === 0 ? undefined : Math.min(...limits.map(Number));
    return await jetstream(connection, { timeout: ANSWER_MS_MAX }).consumers.get(
      origin.stream,
      origin.consumer,
    );
  }

  function taken(message: JsMsg): QueueMessage {
    const made = messageOf(message, origin);
    messages.set(made, message);
    return made;
  }

  const each = (some: readonly QueueMessage[], act: (message: JsMsg) => void) => {
    for (const one of some) {
      const message = messages.get(one);
      if (message) act(message);
    }
  };

  return {
    payloadField: "data",
    get hiddenMs() {
      return hiddenMs;
    },
    get attemptsMax() {
      return attemptsMax;
    },
    async receive({ max, waitMs }, { signal }) {
      signal.throwIfAborted();
      try {
        const open = await untilAborted(connected(), signal);
        consumer ??= await untilAborted(findConsumer(open), signal);
        const first = await oneMessage(open, consumer, Math.max(WAIT_MS_MIN, waitMs), signal);
        if (!first) return [];
        const received = [taken(first)];
        // What is there already; a longer wait is the business of whoever collects a batch.
        const more = Math.min(max - 1, first.info.pending);
        if (more > 0) {
          const rest = await consumer.fetch({ max_messages: more, expires: WAIT_MS_MIN });
          try {
            for await (const message of rest) received.push(taken(message));
          } catch {
            // The next call says what is wrong; what has come is not lost for that.
          }
        }
        return received;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        // It may be gone; the next call makes it again.
        consumer = undefined;
        throw unavailable(origin, error);
      }
    },
    async extend(some) {
      each(some, (message) => message.working());
    },
    async remove(some) {
      const answers = await Promise.all(
        some.map(async (one) => {
          const isRemoved = await messages.get(one)?.ackAck({ timeout: ANSWER_MS_MAX });
          return isRemoved ? [] : [one];
        }),
      ).catch((error: unknown) => {
        throw unavailable(origin, error);
      });
      return answers.flat();
    },
    async retry(some) {
      each(some, (message) => {
        const delayMs = Math.min(
          RETRY_MS_MAX,
          RETRY_MS_MIN * 2 ** Math.min(20, message.info.deliveryCount - 1),
        );
        message.nak(delayMs);
      });
    },
    async release(some) {
      each(some, (message) => message.nak());
    },
    async giveUp(some) {
      // Without a reason: servers before 2.10 take one for nonsense.
      each(some, (message) => message.term());
    },
    adopt(held, again) {
      const message = messages.get(again);
      if (message) messages.set(held, message);
    },
    async [Symbol.asyncDispose]() {
      const open = await link?.catch(() => undefined);
      if (!open) return;
      // What was said last has to get out.
      await inTime(open.connection.flush(), ANSWER_MS_MAX).catch(() => undefined);
      await open.connection.close();
    },
  };
}

/** Connects and makes the consumer if there is none. @throws PlatformError `SourceUnavailable`, `InvalidRequest`. */
export async function inspectNats(parts: NatsQueueParts): Promise<OriginFacts> {
  const { connection } = await openLink(parts);
  try {
    const { config } = await ensureConsumer(connection, parts);
    return { kind: "nats", ackWaitMs: (config.ack_wait ?? 0) / 1e6 };
  } catch (error) {
    throw unavailable(parts.origin, error);
  } finally {
    await connection.close();
  }
}

/** A connection, and whether it is there just now. */
interface Link {
  readonly connection: NatsConnection;
  isUp: boolean;
  /** Called when the connection is lost. */
  readonly onLoss: Set<(error: Error) => void>;
}

interface Encryption {
  /** Goes to node:tls as it is. */
  readonly tls?: TlsOptions & Pick<ConnectionOptions, "checkServerIdentity">;
}

/**
 * Where an address asks for TLS, a server that has none must not be told a password.
 *
 * What an address that is no name is held against is "localhost" in the client, so we do that ourselves: the certificate has
 * to be for one of the addresses that were given, since which of them it is of is not told.
 */
export function encryption(servers: readonly string[]): Encryption {
  if (!servers.some((server) => server.startsWith("tls:"))) return {};
  const hosts = servers.map((server) => new URL(server).hostname.replace(/^\[|\]$/g, ""));
  const addresses = hosts.filter((host) => isIP(host) !== 0);
  if (addresses.length === 0) return { tls: {} };
  return {
    tls: {
      checkServerIdentity(name, certificate) {
        if (hosts.includes(name)) return checkServerIdentity(name, certificate);
        const refusals = addresses.map((address) => checkServerIdentity(address, certificate));
        return refusals.includes(undefined) ? undefined : refusals[0];
      },
    },
  };
}

async function openLink({ origin, secret }: NatsQueueParts): Promise<Link> {
  let connection: NatsConnection;
  try {
    connection = await connect({
      servers: [...origin.servers],
      name: "lambdad",
      timeout: CONNECT_MS_MAX,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 500,
      ...encryption(origin.servers),
      ...authentication(origin, secret),
    });
  } catch (error) {
    throw unavailable(origin, error);
  }
  const link: Link = { connection, isUp: true, onLoss: new Set() };
  // Ends with the connection.
  void (async () => {
    for await (const { type } of connection.status()) {
      if (type === "disconnect" || type === "close") {
        link.isUp = false;
        for (const tell of link.onLoss) tell(new Error("the connection was lost"));
      } else if (type === "reconnect") {
        link.isUp = true;
      }
    }
  })();
  return link;
}

function authentication(
  { login }: NatsOrigin,
  secret: string | undefined,
): { readonly authenticator?: Authenticator } {
  if (!login || secret === undefined) return {};
  if (login.user !== undefined) return { authenticator: usernamePasswordAuthenticator(login.user, secret) };
  if (secret.includes("BEGIN NATS USER JWT")) {
    return { authenticator: credsAuthenticator(new TextEncoder().encode(secret)) };
  }
  return { authenticator: tokenAuthenticator(secret) };
}

async function ensureConsumer(
  connection: NatsConnection,
  { origin, createdAt }: NatsQueueParts,
): Promise<ConsumerInfo> {
  const manager = await jetstreamManager(connection, { timeout: ANSWER_MS_MAX });
  const { stream, consumer } = origin;
  let info: ConsumerInfo;
  try {
    info = await manager.consumers.info(stream, consumer);
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.code !== CONSUMER_NOT_FOUND) throw error;
    info = await manager.consumers.add(stream, {
      durable_name: consumer,
      description: "of a source of lambdad",
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ACK_WAIT_MS),
      max_ack_pending: ACK_PENDING_MAX,
      ...(origin.subject !== undefined && { filter_subject: origin.subject }),
      // By time and not "new": a consumer that has to be made again must not begin later.
      ...(origin.startsAt === "first"
        ? { deliver_policy: DeliverPolicy.All }
        : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(createdAt).toISOString() }),
    });
  }
  const { config } = info;
  if (config.deliver_subject !== undefined || config.ack_policy !== AckPolicy.Explicit) {
    throw new PlatformError(
      "InvalidRequest",
      `consumer ${consumer} of stream ${stream} is no pull consumer with explicit acknowledgement; name another`,
    );
  }
  return info;
}

/** Undefined if none came in time. */
async function oneMessage(
  link: Link,
  consumer: Consumer,
  waitMs: number,
  signal: AbortSignal,
): Promise<JsMsg | undefined> {
  if (!link.isUp) throw new Error("the connection is lost");
  const next = consumer.next({ expires: waitMs });
  const lost = Promise.withResolvers<never>();
  link.onLoss.add(lost.reject);
  try {
    const found = await untilAborted(
      Promise.race([inTime(next, waitMs + ANSWER_MS_MAX), lost.promise]),
      signal,
    );
    return found ?? undefined;
  } catch (error) {
    // It may still come, and is not for us any more.
    next.then((message) => message?.nak()).catch(() => undefined);
    throw error;
  } finally {
    link.onLoss.delete(lost.reject);
  }
}

async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1_000} s`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => undefined);
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function unavailable({ servers, stream }: NatsOrigin, error: unknown): PlatformError {
  if (isPlatformError(error)) return error;
  const place = `NATS at ${servers.join(", ")}`;
  if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) {
    return new PlatformError("SourceUnavailable", `${place} has no stream ${stream}; make it first`, {
      cause: error,
    });
  }
  const reason = error instanceof Error && error.message !== "" ? error.message : String(error);
  return new PlatformError("SourceUnavailable", `cannot read stream ${stream} of ${place}: ${reason}`, {
    cause: error,
  });
}

/** The record that functions get; docs/sources.md has it for readers. */
function messageOf(message: JsMsg, { stream, consumer }: NatsOrigin): QueueMessage {
  const { seq, info, data, subject } = message;
  const id = `${stream}:${seq}`;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return {
    id,
    key: `${id}:${message.timestampNanos}`,
    payload: bytes.toString(),
    deliveries: info.deliveryCount,
    record: {
      eventSource: "lambdad:nats",
      messageId: id,
      stream,
      consumer,
      subject,
      sequence: seq,
      deliveries: info.deliveryCount,
      timestamp: message.timestamp,
      headers: Object.fromEntries(message.headers ?? []),
      data: bytes.toString("base64"),
    },
  };
}
