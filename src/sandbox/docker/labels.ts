/** What marks containers, networks and images as ours, so that whatever is left of them can be found. */
export const LABEL = {
  /** The daemon they belong to; another daemon on the same engine has another. */
  instance: "dev.lambdad.instance",
  sandbox: "dev.lambdad.sandbox",
  function: "dev.lambdad.function",
} as const;

/** The `filters` of a list for what one daemon has labelled. */
export function labelFilter(
  instanceName: string,
  more: Readonly<Record<string, readonly string[]>> = {},
): string {
  return JSON.stringify({ label: [`${LABEL.instance}=${instanceName}`], ...more });
}
