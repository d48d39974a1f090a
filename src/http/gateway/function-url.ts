/**
 * Function URLs: `URLID.lambda-url.REGION.DOMAIN`, each for one function and qualifier, with CORS answered by the
 * URL's configuration and, for `AWS_IAM`, a signature that is checked before the function sees anything.
 * https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
 */
import { PlatformError } from "../../core/errors.ts";
import type { FunctionUrl } from "../../core/function.ts";
import { isPermitted } from "../../core/permission.ts";
import type { CorsRules } from "../../core/route.ts";
import type { Functions } from "../../registry/functions.ts";
import type { Target } from "../../registry/target.ts";
import type { UrlPermissions } from "./exchange.ts";
import { URL_FORBIDDEN } from "./url-refusal.ts";

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
  throw new PlatformError("Forbidden", URL_FORBIDDEN);
}

const parsed = new WeakMap<FunctionUrl, CorsRules>();

/** Undefined if the function speaks for itself. */
export function corsOf(url: FunctionUrl): CorsRules | undefined {
  if (!url.cors) return undefined;
  const known = parsed.get(url);
  if (known) return known;
  const cors = parseCors(url.cors);
  parsed.set(url, cors);
  return cors;
}

function parseCors(cors: Readonly<Record<string, unknown>>): CorsRules {
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
