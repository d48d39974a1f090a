/**
 * What a function says of a batch when its source takes partial failures: `{"batchItemFailures":[{"itemIdentifier":ID}]}`,
 * read as Lambda reads it: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
 */

/**
 * The ids that failed. Nothing, null, an empty object and an empty list are a success; what cannot be read, or names
 * what is not in the batch, is a failure of all.
 */
export function failuresIn(answer: Uint8Array, ids: ReadonlySet<string>): ReadonlySet<string> {
  const text = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength).toString().trim();
  if (text === "") return new Set();
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    return ids;
  }
  if (said === null) return new Set();
  if (typeof said !== "object") return ids;
  const failures: unknown = "batchItemFailures" in said ? said.batchItemFailures : undefined;
  if (failures === undefined || failures === null) return new Set();
  if (!Array.isArray(failures)) return ids;
  const failed = new Set<string>();
  for (const failure of failures) {
    const id: unknown =
      typeof failure === "object" && failure !== null && "itemIdentifier" in failure
        ? failure.itemIdentifier
        : undefined;
    if (typeof id !== "string" || !ids.has(id)) return ids;
    failed.add(id);
  }
  return failed;
}
