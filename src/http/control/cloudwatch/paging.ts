/** What requests for metrics have in common: their span, and the token of a next page. */
import { PlatformError } from "../../../core/errors.ts";

/** @throws PlatformError `ValidationFailed` */
export function checkSpan(startAt: number, endAt: number): void {
  if (startAt < endAt) return;
  throw new PlatformError(
    "ValidationFailed",
    "The parameter StartTime must be less than the parameter EndTime.",
  );
}

export function encodeToken(position: number): string {
  return Buffer.from(String(position)).toString("base64url");
}

/** @throws PlatformError `InvalidRequest` for what is no token of ours. */
export function decodeToken(token: string): number {
  const text = Buffer.from(token, "base64url").toString();
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new PlatformError("InvalidRequest", "The specified NextToken is invalid.");
}
