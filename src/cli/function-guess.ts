import { isRecord } from "../core/is-record.ts";
import { nearest } from "./nearest.ts";

/** How our own API and AWS's say it. */
const MISSING = [/^function "([^"]+)" does not exist/, /^Function not found: arn:[^ ]*:function:([^: ]+)/];

/** The function that a message says is not there; undefined if it says something else. */
export function missingFunction(message: string): string | undefined {
  for (const pattern of MISSING) {
    const name = pattern.exec(message)?.[1];
    if (name !== undefined) return name;
  }
  return undefined;
}

/** Which of the functions in an answer of `GET /v1/functions` was probably meant, as a hint. */
export function guessFunction(name: string, answer: unknown): string | undefined {
  const listed: unknown = isRecord(answer) ? answer.functions : undefined;
  const names = (Array.isArray(listed) ? listed : []).flatMap((one: unknown) =>
    isRecord(one) && typeof one.name === "string" ? [one.name] : [],
  );
  // Then it is a version or an alias of it that is missing.
  if (names.includes(name)) return undefined;
  const guess = nearest(name, names);
  return guess === undefined ? undefined : `did you mean ${guess}?`;
}
