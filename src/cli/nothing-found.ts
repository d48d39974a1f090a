/** What is said of a list without entries: how to make one, or of what narrowed-down part of it there are none. */
export function nothingFound(
  things: string,
  narrowed: Readonly<Record<string, string | undefined>>,
  howToMake: string,
): string {
  const parts = Object.entries(narrowed).flatMap(([what, value]) =>
    value === undefined ? [] : [`of ${what} ${value}`],
  );
  return parts.length === 0
    ? `there are no ${things}: ${howToMake} makes one`
    : `there are no ${things} ${parts.join(" ")}`;
}
