/**
 * Headers that are about one connection and not about the message (RFC 9110, section 7.6.1), and `Expect`: whoever
 * accepted the request has answered it.
 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "expect",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Names and values in turn, without what ends at this hop: the fixed ones and those that `Connection` names. */
export function withoutHopByHop(rawHeaders: readonly string[]): string[] {
  const named = namedByConnection(rawHeaders);
  return filterHeaders(rawHeaders, (name) => !HOP_BY_HOP.has(name) && !named?.has(name));
}

/** Keeps the headers whose name, in lower case, `keeps` accepts. */
export function filterHeaders(rawHeaders: readonly string[], keeps: (name: string) => boolean): string[] {
  const kept: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? "";
    if (keeps(name.toLowerCase())) kept.push(name, rawHeaders[index + 1] ?? "");
  }
  return kept;
}

function namedByConnection(rawHeaders: readonly string[]): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    if (rawHeaders[index]?.toLowerCase() !== "connection") continue;
    named ??= new Set();
    for (const name of (rawHeaders[index + 1] ?? "").split(",")) named.add(name.trim().toLowerCase());
  }
  return named;
}
