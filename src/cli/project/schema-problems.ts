/** What a schema found wrong, in the words of somebody who writes a lambda.yaml. */
import type * as z from "zod";
import { nearest } from "../nearest.ts";

export interface Problem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** It is the key that is wrong, not what it stands for. */
  readonly isKey: boolean;
}

type Issue = z.core.$ZodIssue;

/** `keysAt` tells what may be at a place. */
export function problemsOf(
  issue: Issue,
  whole: unknown,
  keysAt: (path: readonly PropertyKey[]) => readonly string[] | undefined,
): Problem[] {
  const { path } = issue;
  const got = shown(valueAt(whole, path));
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => {
        const keys = keysAt(path) ?? [];
        const guess = nearest(key, keys);
        const hint = guess === undefined ? `expected ${keys.join(", ")}` : `did you mean ${guess}?`;
        return { path: [...path, key], message: `unknown key ${JSON.stringify(key)}; ${hint}`, isKey: true };
      });
    case "invalid_type":
      if (got === undefined) {
        const name = String(path.at(-1));
        const message = path.length === 1 ? `"${name}:" is missing` : `${name} is missing`;
        return [{ path, message, isKey: true }];
      }
      if (got === "null" && KIND[issue.expected] === "a map")
        return [{ path, message: "expected a map, got nothing; {} is an empty one", isKey: true }];
      return [
        { path, message: `expected ${KIND[issue.expected] ?? issue.expected}, got ${got}`, isKey: false },
      ];
    case "invalid_value": {
      const values = issue.values.map(String);
      if (got === undefined) {
        const message = `${String(path.at(-1))} is missing: expected ${values.join(", ")}`;
        return [{ path, message, isKey: true }];
      }
      const guess = nearest(String(valueAt(whole, path)), values);
      const hint = guess === undefined ? "" : `; did you mean ${guess}?`;
      return [{ path, message: `expected ${values.join(", ")}, got ${got}${hint}`, isKey: false }];
    }
    case "invalid_key":
      return issue.issues.map(({ message }) => ({
        path,
        message: `${JSON.stringify(String(path.at(-1)))}: ${message}`,
        isKey: true,
      }));
    case "invalid_union":
      return [{ path, message: `expected ${unionKinds(issue)}, got ${got}`, isKey: false }];
    case "too_small":
    case "too_big":
      return [{ path, message: `expected ${boundOf(issue)}, got ${got}`, isKey: false }];
    default:
      return [
        {
          path,
          message:
            got === undefined || issue.message.includes("got ")
              ? issue.message
              : `${issue.message}, got ${got}`,
          isKey: false,
        },
      ];
  }
}

const KIND: Readonly<Record<string, string>> = {
  object: "a map",
  record: "a map",
  array: "a list",
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
};

function unionKinds(issue: Extract<Issue, { readonly code: "invalid_union" }>): string {
  const kinds = issue.errors.flatMap((errors) =>
    errors.flatMap((error) =>
      error.code === "invalid_type" ? (KIND[error.expected] ?? error.expected) : [],
    ),
  );
  return [...new Set(kinds)].join(" or ");
}

function boundOf(issue: Extract<Issue, { readonly code: "too_small" | "too_big" }>): string {
  const [bound, word] = issue.code === "too_small" ? [issue.minimum, "at least"] : [issue.maximum, "at most"];
  const [one, many] = UNITS[issue.origin] ?? ["", ""];
  if (word === "at least" && Number(bound) === 1 && one !== "") return `at least one ${one}`;
  return `${word} ${bound} ${Number(bound) === 1 ? one : many}`.trim();
}

const UNITS: Readonly<Record<string, readonly [one: string, many: string]>> = {
  string: ["character", "characters"],
  array: ["entry", "entries"],
};

function valueAt(whole: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => Object(at)[key], whole);
}

/** An alias may stand for what it is in. */
function textOf(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return "what goes round";
  }
}

function shown(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const text = textOf(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
