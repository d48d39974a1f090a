import { readFileSync } from "node:fs";
import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName, SourceId } from "../core/ids.ts";
import type { Log } from "../core/log.ts";
import {
  type NatsOrigin,
  type OriginFacts,
  parseQueueArn,
  type Source,
  type SqsOrigin,
} from "../core/source.ts";
import type { Identity } from "../events/destinations.ts";
import type { Deliver } from "../events/http-delivery.ts";
import type { SourceQueue } from "../events/source-queue.ts";
import { SourceRunners } from "../events/source-runners.ts";
import type { KeyRing } from "../http/control/keys.ts";
import type { SourceWork } from "../http/control/parts.ts";
import type { Invocations } from "../invoker/invocations.ts";
import type { Functions } from "../registry/functions.ts";
import type { Store } from "../store/store.ts";

/** Where SQS is, for sources that do not say it themselves. */
export interface SqsConfig {
  readonly sqsEndpoint: string | undefined;
  readonly sqsAccessKeyId: string | undefined;
  readonly sqsSecretFile: string | undefined;
}

export interface OpenSources extends SourceWork, AsyncDisposable {
  readonly failed: Promise<never>;
  functionChanged(name: FunctionName, record: FunctionRecord | undefined): void;
}

/** Loads what speaks to NATS with the first delivery. */
export const deliverToNats: Deliver = async (delivery, options) =>
  await (await import("../events/nats/nats-delivery.ts")).deliverToNats(delivery, options);

const INSPECT_MS_MAX = 15_000;

/** Polls the sources that are stored. What speaks to a kind of queue is loaded with the first source that has one. */
export function openSources(parts: {
  readonly config: SqsConfig;
  readonly store: Pick<Store, "sources" | "events">;
  readonly keys: Promise<KeyRing>;
  readonly functions: Pick<Functions, "resolve">;
  readonly invocations: Pick<Invocations, "invoke">;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly log: Log;
}): OpenSources {
  const { config, store, keys, clock } = parts;
  type Named = Pick<Source, "id" | "origin" | "createdAt">;

  async function secretOf(id: SourceId, sealed: string): Promise<string> {
    const secret = (await keys).sealerFor(SECRETS).unseal(id, sealed);
    if (secret !== undefined) return secret;
    throw new PlatformError(
      "InvalidRequest",
      `the secret of source ${id} was sealed under another master.key; restore that, or create the source again`,
    );
  }

  async function sqsParts(id: SourceId, origin: SqsOrigin) {
    const { region = parts.identity.region, account = "" } = parseQueueArn(origin.queueArn) ?? {};
    const own = origin.login && {
      accessKeyId: origin.login.accessKeyId,
      secret: await secretOf(id, origin.login.sealedSecret),
    };
    // What is configured is for the place that is configured, and goes nowhere else.
    const login = own ?? (origin.endpoint === undefined ? configuredLogin(config) : undefined);
    const endpoint = origin.endpoint ?? config.sqsEndpoint ?? awsEndpoint(region, login !== undefined);
    // Emulators want a signature, whosever it is, and some take the id for that of the account.
    const place = { endpoint, region, login: login ?? { accessKeyId: account, secret: "none" } };
    return { queueArn: origin.queueArn, place, clock };
  }

  async function natsParts({ id, createdAt }: Named, origin: NatsOrigin) {
    const { login } = origin;
    return { origin, secret: login && (await secretOf(id, login.sealedSecret)), createdAt };
  }

  async function openQueue(source: Named): Promise<SourceQueue> {
    const { id, origin } = source;
    if (origin.kind === "sqs") {
      const { openSqsQueue } = await import("../events/sqs/sqs-queue.ts");
      return openSqsQueue(await sqsParts(id, origin));
    }
    const { openNatsQueue } = await import("../events/nats/nats-queue.ts");
    return openNatsQueue(await natsParts(source, origin));
  }

  async function inspect(source: Named): Promise<OriginFacts> {
    const { id, origin } = source;
    if (origin.kind === "sqs") {
      const { inspectSqs } = await import("../events/sqs/sqs-queue.ts");
      return await inspectSqs(await sqsParts(id, origin), { signal: AbortSignal.timeout(INSPECT_MS_MAX) });
    }
    const { inspectNats } = await import("../events/nats/nats-queue.ts");
    return await inspectNats(await natsParts(source, origin));
  }

  const runners = new SourceRunners({ ...parts, sources: store.sources, events: store.events, openQueue });
  return {
    failed: runners.failed,
    inspect,
    seal: async (id, secret) => (await keys).sealerFor(SECRETS).seal(id, secret),
    unseal: async (id, sealed) => (await keys).sealerFor(SECRETS).unseal(id, sealed),
    status: (id) => runners.status(id),
    changed: (id) => runners.changed(id),
    functionChanged: (name, record) => runners.functionChanged(name, record),
    [Symbol.asyncDispose]: () => runners[Symbol.asyncDispose](),
  };
}

/** What secrets of sources are sealed for. */
const SECRETS = "logins of sources";

function configuredLogin({ sqsAccessKeyId, sqsSecretFile }: SqsConfig) {
  if (sqsAccessKeyId === undefined || sqsSecretFile === undefined) return undefined;
  try {
    return { accessKeyId: sqsAccessKeyId, secret: readFileSync(sqsSecretFile, "utf8").trim() };
  } catch (cause) {
    throw new PlatformError("InvalidRequest", `sqs-secret-file: cannot read "${sqsSecretFile}"`, { cause });
  }
}

function awsEndpoint(region: string, hasLogin: boolean): string {
  if (hasLogin) return `https://sqs.${region}.amazonaws.com`;
  throw new PlatformError(
    "InvalidRequest",
    "it is not known where SQS is: start lambdad with --sqs-endpoint URL, or with --sqs-access-key-id and --sqs-secret-file for AWS's own; lambda source create takes --endpoint",
  );
}
