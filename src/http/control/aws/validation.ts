/**
 * AWS's way to say what is wrong with a request, on top of zod: all broken constraints in one sentence, fields in
 * lowerCamelCase, nested with dots.
 */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";

/** A member that may be left out; `null` is the same as leaving it out. */
export function optional<Schema extends z.ZodType>(schema: Schema) {
  return schema.nullish().transform((value) => value ?? undefined);
}

export function text(rule: { readonly max?: number; readonly min?: number; readonly pattern?: string }) {
  let schema = z.string();
  if (rule.min !== undefined) {
    schema = schema.min(rule.min, `Member must have length greater than or equal to ${rule.min}`);
  }
  if (rule.max !== undefined) {
    schema = schema.max(rule.max, `Member must have length less than or equal to ${rule.max}`);
  }
  if (rule.pattern !== undefined) {
    const message = `Member must satisfy regular expression pattern: ${rule.pattern}`;
    schema = schema.regex(new RegExp(`^(?:${rule.pattern})$`), message);
  }
  return schema;
}

export function whole(min: number, max: number) {
  return z
    .int()
    .min(min, `Member must have value greater than or equal to ${min}`)
    .max(max, `Member must have value less than or equal to ${max}`);
}

export function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, `Member must satisfy enum value set: [${values.join(", ")}]`);
}

/** A map of strings that nobody's prototype gets into. */
export function stringMap(keyPattern: string | undefined) {
  return z.record(z.string(), z.string()).superRefine((map, context) => {
    const rule = keyPattern === undefined ? undefined : new RegExp(`^(?:${keyPattern})$`);
    for (const key of Object.keys(map)) {
      if (rule && !rule.test(key)) {
        context.addIssue({
          code: "custom",
          message: `Map keys must satisfy constraint: [Member must satisfy regular expression pattern: ${keyPattern}]`,
        });
        return;
      }
    }
  });
}

/**
 * @throws PlatformError `ValidationFailed` with AWS's text for broken constraints; `InvalidPayload` where a member has
 * the wrong type altogether.
 */
export function parse<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const result = schema.safeParse(input ?? {});
  if (result.success) return result.data;
  const broken: string[] = [];
  for (const issue of result.error.issues) {
    const value = valueAt(input, issue.path);
    const field = issue.path.map((part) => lowerCamel(String(part))).join(".") || "request";
    if (issue.code === "invalid_type" && value !== undefined && value !== null) {
      throw new PlatformError(
        "InvalidPayload",
        `Could not parse request body into json: ${field}: expected ${issue.expected}, got ${typeof value}`,
      );
    }
    const rule = issue.code === "invalid_type" ? "Member must not be null" : issue.message;
    broken.push(`Value ${shown(value)} at '${field}' failed to satisfy constraint: ${rule}`);
  }
  throw violations(broken);
}

/** One `ValidationFailed` for all of them. */
export function violations(broken: readonly string[]): PlatformError {
  const count = `${broken.length} validation error${broken.length === 1 ? "" : "s"} detected`;
  return new PlatformError("ValidationFailed", `${count}: ${broken.join("; ")}`);
}

const SHOWN_LENGTH_MAX = 1_000;

function shown(value: unknown): string {
  if (value === undefined || value === null) return "null";
  const words = typeof value === "string" ? value : JSON.stringify(value);
  return `'${words.slice(0, SHOWN_LENGTH_MAX)}'`;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}

function lowerCamel(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}
