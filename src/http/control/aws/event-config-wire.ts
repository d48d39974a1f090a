/** Requests of the operations on event invoke configurations. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import type { Destination } from "../../../core/event.ts";
import type { FunctionName } from "../../../core/ids.ts";
import { parseSubjectUrl } from "../../../core/nats-address.ts";
import { EVENT_AGE_MS_MAX, EVENT_AGE_MS_MIN, RETRIES_MAX } from "../../../core/retry.ts";
import { type Account, parseFunctionReference } from "./names.ts";
import { unsupported } from "./refusals.ts";
import { optional, parse, text, whole } from "./validation.ts";

const DestinationTarget = optional(z.object({ Destination: optional(text({ min: 0, max: 350 })) }));

const EventConfigRequest = z.object({
  MaximumRetryAttempts: optional(whole(0, RETRIES_MAX)),
  MaximumEventAgeInSeconds: optional(whole(EVENT_AGE_MS_MIN / 1_000, EVENT_AGE_MS_MAX / 1_000)),
  DestinationConfig: optional(z.object({ OnSuccess: DestinationTarget, OnFailure: DestinationTarget })),
});

/** What a request sets; `null` takes a destination away. */
export interface EventConfigChange {
  readonly retriesMax: number | undefined;
  readonly eventAgeMsMax: number | undefined;
  readonly onSuccess: Destination | null | undefined;
  readonly onFailure: Destination | null | undefined;
}

/** @throws PlatformError `ValidationFailed`, `InvalidRequest`, `UnsupportedMember` for what cannot be told. */
export function parseEventConfig(body: unknown, name: FunctionName, own: Account): EventConfigChange {
  const request = parse(EventConfigRequest, body);
  const { MaximumRetryAttempts, MaximumEventAgeInSeconds, DestinationConfig } = request;
  if (
    MaximumRetryAttempts === undefined &&
    MaximumEventAgeInSeconds === undefined &&
    DestinationConfig === undefined
  ) {
    throw new PlatformError(
      "InvalidRequest",
      "You must specify at least one of error handling or destination setting.",
    );
  }
  return {
    retriesMax: MaximumRetryAttempts,
    eventAgeMsMax: MaximumEventAgeInSeconds === undefined ? undefined : MaximumEventAgeInSeconds * 1_000,
    onSuccess: DestinationConfig?.OnSuccess && parseDestination(DestinationConfig.OnSuccess, name, own),
    onFailure: DestinationConfig?.OnFailure && parseDestination(DestinationConfig.OnFailure, name, own),
  };
}

/** A function's ARN or, beyond AWS, an address that begins with `http://` or `https://`. */
function parseDestination(
  target: { readonly Destination: string | undefined },
  name: FunctionName,
  own: Account,
): Destination | null {
  const destination = target.Destination;
  if (destination === undefined || destination === "") return null;
  if (/^https?:/i.test(destination)) return { kind: "url", url: parseUrl(destination) };
  if (/^(nats|tls):/.test(destination)) return { kind: "url", url: parseSubject(destination) };
  if (!/^arn:[^:]*:lambda:/.test(destination)) {
    throw unsupported(
      `the destination ${destination}`,
      "results are told to functions, and to addresses that begin with http:// or https://",
    );
  }
  const reference = parseFunctionReference(destination, own);
  if (!reference.name) {
    throw new PlatformError("InvalidRequest", `The destination ARN ${destination} is invalid.`);
  }
  if (reference.name === name) {
    throw new PlatformError("InvalidRequest", "You can't specify the function as a destination for itself.");
  }
  return { kind: "function", functionName: reference.name, qualifier: reference.qualifier };
}

function parseSubject(destination: string): string {
  const url = parseSubjectUrl(destination);
  if (url !== undefined) return url;
  throw new PlatformError(
    "InvalidRequest",
    `destination: expected nats://HOST:PORT/SUBJECT without a name and a password, got ${JSON.stringify(destination)}`,
  );
}

function parseUrl(destination: string): string {
  const url = URL.canParse(destination) ? new URL(destination) : undefined;
  if (url && url.username === "" && url.password === "" && url.hash === "") return url.href;
  throw new PlatformError(
    "InvalidRequest",
    `destination: expected an address without a name, a password or a fragment, got ${JSON.stringify(destination)}`,
  );
}
