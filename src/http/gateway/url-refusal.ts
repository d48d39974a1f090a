/**
 * How function URLs refuse a request: as AWS does, since what calls them was made for it. All other addresses of the
 * gateway answer in its own shape.
 */
import { isPlatformError } from "../../core/errors.ts";

export interface UrlRefusal {
  readonly status: 403;
  /** Of the header `x-amzn-ErrorType`. */
  readonly errorType: string;
  readonly body: string;
}

export const URL_FORBIDDEN =
  "Forbidden. For troubleshooting Function URL authorization issues, see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html";

/** Undefined for what is no refusal. Who may not call a function learns no more of it. */
export function urlRefusalOf(error: unknown): UrlRefusal | undefined {
  if (!isPlatformError(error)) return undefined;
  switch (error.code) {
    case "Unauthenticated":
    case "Forbidden":
      return refusal("AccessDeniedException", { Message: URL_FORBIDDEN });
    case "SignatureInvalid":
      return refusal("InvalidSignatureException", { message: error.message });
    case "FunctionNotFound":
    case "VersionNotFound":
    case "AliasNotFound":
      return refusal("AccessDeniedException", { Message: null });
    default:
      return undefined;
  }
}

function refusal(errorType: string, body: Readonly<Record<string, unknown>>): UrlRefusal {
  return { status: 403, errorType, body: JSON.stringify(body) };
}
