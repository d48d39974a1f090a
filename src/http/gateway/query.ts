/** Names and values of a query, decoded, in order. */
export function queryPairs(query: string): [name: string, value: string][] {
  const pairs: [string, string][] = [];
  for (const part of query.split("&")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const name = decoded(equals === -1 ? part : part.slice(0, equals));
    pairs.push([name, equals === -1 ? "" : decoded(part.slice(equals + 1))]);
  }
  return pairs;
}

/** A value that is not well encoded stays as it is: the function may know better, and gets it raw as well. */
function decoded(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}
