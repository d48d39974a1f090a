/**
 * `nats://HOST:PORT/SUBJECT` or `tls://…`, without name, password, wildcards and anything else; undefined if it is something
 * else.
 */
export function parseSubjectUrl(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^(nats|tls):$/.test(url.protocol) || url.host === "") return undefined;
  const isPlain = url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  return isPlain && /^\/[A-Za-z0-9_$-]+(\.[A-Za-z0-9_$-]+)*$/.test(url.pathname) ? url.href : undefined;
}
