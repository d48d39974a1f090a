/**
 * Function URLs: `URLID.lambda-url.REGION.DOMAIN`, each for one function and qualifier, with CORS answered by the
 * URL's configuration and, for `AWS_IAM`, a signature that is checked before the function sees anything.
 * https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
 */
import { PlatformError } from "../../core/errors.ts";
import type { FunctionUrl } from "../../core/function.ts";
import { isPermitted } from "../../core/permission.ts";
import type { Functions } from "../../registry/functions.ts";
import type { Target } from "../../registry/target.ts";
import type { UrlPermissions } from "./exchange.ts";
import { headerOf, type RequestHead } from "./request-headers.ts";

export interface UrlTarget {
  readonly target: Target;
  readonly url: FunctionUrl;
}

/** @throws PlatformError `FunctionNotFound`. */
export async function resolveUrl(
  functions: Pick<Functions, "findByUrlId" | "resolve">,
  urlId: string,
): Promise<UrlTarget> {
  const record = await functions.findByUrlId(urlId);
  const url = record?.urls.find((candidate) => candidate.urlId === urlId);
  if (!record || !url) throw new PlatformError("FunctionNotFound", `no function has the URL "${urlId}"`);
  return { target: await functions.resolve(record.name, url.qualifier), url };
}

/**
 * Whether anybody may call a URL with AuthType NONE.
 *
 * @throws PlatformError `Forbidden` if the policy is asked and does not say so.
 */
export function checkOpenUrl(permissions: UrlPermissions, { record, qualifier }: Target): void {
  if (permissions === "off") return;
  const asked = { callerArns: undefined, urlAuthType: "NONE" } as const;
  const { policies } = record.settings;
  const isOpen =
    isPermitted(policies, qualifier, { ...asked, action: "lambda:InvokeFunctionUrl" }) &&
    (permissions === "required" ||
      isPermitted(policies, qualifier, { ...asked, action: "lambda:InvokeFunction" }));
  if (isOpen) return;
  throw new PlatformError(
    "Forbidden",
    "Forbidden. For troubleshooting Function URL authorization issues, see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html",
  );
}

interface Cors {
  readonly allowsCredentials: boolean;
  readonly headers: readonly string[];
  readonly methods: readonly string[];
  readonly origins: readonly string[];
  readonly exposed: readonly string[];
  readonly maxAgeS: number | undefined;
}

/** Headers for a response to that origin: names and values in turn, none if the origin is not allowed. */
export function corsHeaders(url: FunctionUrl, head: RequestHead): string[] {
  const cors = corsOf(url);
  const allowed = cors && allowedOrigin(cors, head.origin);
  if (!cors || allowed === undefined) return [];
  const headers = ["access-control-allow-origin", allowed, "vary", "Origin"];
  if (cors.allowsCredentials) headers.push("access-control-allow-credentials", "true");
  if (cors.exposed.length > 0) headers.push("access-control-expose-headers", cors.exposed.join(","));
  return headers;
}

/** Whether a browser asks if it may send the real request. It is answered here, without the function. */
export function isPreflight(method: string | undefined, head: RequestHead): boolean {
  return (
    method === "OPTIONS" &&
    head.origin !== undefined &&
    headerOf(head, "access-control-request-method") !== undefined
  );
}

/** What the answer to a preflight has besides `corsHeaders`. */
export function preflightHeaders(url: FunctionUrl, head: RequestHead): string[] {
  const cors = corsOf(url);
  if (!cors || allowedOrigin(cors, head.origin) === undefined) return [];
  const headers = [
    "access-control-allow-methods",
    orAsked(cors.methods, head, "access-control-request-method"),
  ];
  const allowHeaders = orAsked(cors.headers, head, "access-control-request-headers");
  if (allowHeaders !== "") headers.push("access-control-allow-headers", allowHeaders);
  if (cors.maxAgeS !== undefined) headers.push("access-control-max-age", String(cors.maxAgeS));
  return headers;
}

/** `*` is spelt out as what was asked for, since with credentials browsers take a star literally. */
function orAsked(allowed: readonly string[], head: RequestHead, asked: string): string {
  return allowed.includes("*") ? (headerOf(head, asked) ?? "") : allowed.join(",");
}

/** A star stays a star: browsers then refuse to send credentials, as they should. */
function allowedOrigin(cors: Cors, origin: string | undefined): string | undefined {
  if (origin === undefined) return undefined;
  if (cors.origins.includes("*")) return "*";
  return cors.origins.includes(origin) ? origin : undefined;
}

const parsed = new WeakMap<FunctionUrl, Cors>();

function corsOf(url: FunctionUrl): Cors | undefined {
  if (!url.cors) return undefined;
  const known = parsed.get(url);
  if (known) return known;
  const cors = parseCors(url.cors);
  parsed.set(url, cors);
  return cors;
}

function parseCors(cors: Readonly<Record<string, unknown>>): Cors {
  const maxAge = cors.MaxAge;
  return {
    allowsCredentials: cors.AllowCredentials === true,
    headers: strings(cors.AllowHeaders),
    methods: strings(cors.AllowMethods),
    origins: strings(cors.AllowOrigins),
    exposed: strings(cors.ExposeHeaders),
    maxAgeS: typeof maxAge === "number" ? maxAge : undefined,
  };
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}
