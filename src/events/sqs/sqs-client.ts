/**
 * A client of SQS, as far as a poller needs it, by the AWS JSON 1.0 protocol: POST to `/`, the operation in
 * `X-Amz-Target: AmazonSQS.NAME`, signed with Signature Version 4. Errors have `__type`, `message` and, for clients of the
 * older protocol, their old code in `x-amzn-query-error`.
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
 */
import { Agent, request } from "undici";
import type { Clock } from "../../core/clock.ts";
import { PlatformError } from "../../core/errors.ts";
import { type SigningLogin, signedHeaders } from "./signing.ts";

export interface SqsPlace {
  /** `http://HOST:PORT`. */
  readonly endpoint: string;
  readonly region: string;
  readonly login: SigningLogin;
}

export interface SqsClient extends AsyncDisposable {
  /**
   * @throws PlatformError `SourceUnavailable`: unreachable, or refused with an `SqsRefusal` as its cause; `signal.reason`
   * when aborted.
   */
  call(
    operation: string,
    body: Readonly<Record<string, unknown>>,
    options: { readonly signal: AbortSignal },
  ): Promise<Readonly<Record<string, unknown>>>;
}

/** The server's own error. */
export class SqsRefusal extends Error {
  override readonly name = "SqsRefusal";
  /** `AWS.SimpleQueueService.NonExistentQueue`, `InvalidClientTokenId`, … */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Longer than the longest poll. */
const ANSWER_MS_MAX = 30_000;
const CONNECT_MS_MAX = 5_000;
/** Ten messages of 1 MiB, escaped. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const MESSAGE_LENGTH_MAX = 300;

export function newSqsClient(place: SqsPlace, clock: Pick<Clock, "now">): SqsClient {
  const { endpoint, region, login } = place;
  const { origin, host } = new URL(endpoint);
  const agent = new Agent({
    connect: { timeout: CONNECT_MS_MAX },
    headersTimeout: ANSWER_MS_MAX,
    bodyTimeout: ANSWER_MS_MAX,
    maxResponseSize: ANSWER_BYTES_MAX,
  });
  return {
    async call(operation, body, { signal }) {
      signal.throwIfAborted();
      const text = JSON.stringify(body);
      const headers = {
        "content-type": "application/x-amz-json-1.0",
        host,
        "x-amz-target": `AmazonSQS.${operation}`,
      };
      const sent = signedHeaders(headers, text, { region, service: "sqs" }, login, clock.now());
      try {
        const options = { method: "POST", headers: sent, body: text, dispatcher: agent, signal } as const;
        const answer = await request(`${origin}/`, options);
        const answered = readJson(await answer.body.text());
        if (answer.statusCode === 200 && answered) return answered;
        throw refusalOf(answer.statusCode, answer.headers["x-amzn-query-error"], answered);
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        throw unavailable(operation, origin, error);
      }
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

function readJson(text: string): Readonly<Record<string, unknown>> | undefined {
  if (text === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    // Whatever answers is no SQS; its status says that, its text may be anybody's.
    return undefined;
  }
}

function refusalOf(
  status: number,
  queryError: string | string[] | undefined,
  answered: Readonly<Record<string, unknown>> | undefined,
): SqsRefusal {
  const type = answered?.__type;
  if (typeof type !== "string") {
    return new SqsRefusal("UnexpectedAnswer", `it answered ${status}, and not as SQS does`);
  }
  const code = String(queryError ?? "").split(";")[0] || type.replace(/^.*#/, "");
  const message = answered?.message ?? answered?.Message ?? "";
  return new SqsRefusal(code, String(message).slice(0, MESSAGE_LENGTH_MAX));
}

function unavailable(operation: string, origin: string, error: unknown): PlatformError {
  if (error instanceof SqsRefusal) {
    // AWS's own words for a mapping whose queue refuses it.
    const message = `Error occurred while ${operation}. SQS Error Code: ${error.code}. SQS Error Message: ${error.message}`;
    return new PlatformError("SourceUnavailable", message, { cause: error });
  }
  const code = error instanceof Error && "code" in error ? String(error.code) : "the connection failed";
  const reason = error instanceof Error && error.message !== "" ? error.message : code;
  return new PlatformError("SourceUnavailable", `cannot reach SQS at ${origin}: ${reason}`, {
    cause: error,
  });
}
