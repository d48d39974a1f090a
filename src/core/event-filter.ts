/**
 * Filter patterns of event source mappings, which are those of EventBridge:
 * https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
 *
 * An object says what must hold for each of its fields; a list says what a field may be: values, compared exactly and
 * with their type, or operators. `$or` is a list of objects of which one must hold. Of a list in an event, one
 * element has to fit.
 */
import { PlatformError } from "./errors.ts";
import { isRecord } from "./is-record.ts";

export const FILTER_LENGTH_MAX = 4_096;
/** AWS's own is 5, and 10 for those who ask. */
export const FILTERS_MAX = 10;

/** A checked pattern. */
export type Filter = (event: unknown) => boolean;

/** AWS's words, and where in the pattern the trouble is. @throws PlatformError `InvalidRequest`. */
export function parseFilter(text: string): Filter {
  if (text.length > FILTER_LENGTH_MAX) {
    throw invalid(`it has ${text.length} characters, and may have ${FILTER_LENGTH_MAX}`);
  }
  let pattern: unknown;
  try {
    pattern = JSON.parse(text);
  } catch {
    throw invalid(`it is no JSON: ${JSON.stringify(text.slice(0, 80))}`);
  }
  if (!isRecord(pattern)) throw invalid("expected an object");
  return parseObject(pattern, "");
}

/**
 * What patterns look at: the record, with the text of its payload as JSON if it is an object or a list, as text if not.
 */
export function filterView(
  record: Readonly<Record<string, unknown>>,
  payloadField: string,
  payload: string,
): Readonly<Record<string, unknown>> {
  return { ...record, [payloadField]: structureIn(payload) ?? payload };
}

function structureIn(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // A text that begins like JSON is a text.
    return undefined;
  }
}

function parseObject(pattern: Readonly<Record<string, unknown>>, path: string): Filter {
  const rules = Object.entries(pattern).map(([name, rule]): Filter => {
    const at = path === "" ? name : `${path}.${name}`;
    if (name === "$or" && Array.isArray(rule)) return parseOr(rule, at);
    const fits = isRecord(rule) ? onElements(parseObject(rule, at)) : parseLeaf(rule, at);
    return (event) => fits(isRecord(event) && Object.hasOwn(event, name) ? event[name] : undefined);
  });
  if (rules.length === 0) throw invalid(`${path || "pattern"}: an empty object`);
  return (event) => rules.every((fits) => fits(event));
}

function parseOr(choices: readonly unknown[], path: string): Filter {
  if (choices.length < 2) throw invalid(`${path}: expected at least two choices`);
  const rules = choices.map((choice) => {
    if (!isRecord(choice)) throw invalid(`${path}: expected a list of objects`);
    return parseObject(choice, path);
  });
  return (event) => rules.some((fits) => fits(event));
}

/** An absent field is offered too: a pattern may ask for just that. */
function onElements(fits: Filter): Filter {
  return (value) => (Array.isArray(value) ? value.some((element) => onElements(fits)(element)) : fits(value));
}

function parseLeaf(rule: unknown, path: string): Filter {
  if (!Array.isArray(rule)) throw invalid(`${path}: expected a list of values or an object`);
  if (rule.length === 0) throw invalid(`${path}: an empty list`);
  const choices = rule.map((choice) => parseChoice(choice, path));
  return (value) => choices.some((fits) => fits(value));
}

function parseChoice(choice: unknown, path: string): Filter {
  if (isScalar(choice)) return onLeaves((value) => value === choice);
  if (!isRecord(choice)) throw invalid(`${path}: a list in a list`);
  const [operator, ...others] = Object.keys(choice);
  if (operator === undefined || others.length > 0) {
    throw invalid(`${path}: expected an object with one operator, got ${JSON.stringify(choice)}`);
  }
  const operand = choice[operator];
  const at = `${path}.${operator}`;
  switch (operator) {
    case "exists":
      if (typeof operand !== "boolean") throw invalid(`${at}: expected true or false`);
      return (value) => (value !== undefined && !isRecord(value)) === operand;
    case "numeric":
      return onLeaves(parseNumeric(operand, at));
    case "anything-but":
      return onLeaves(parseAnythingBut(operand, at));
    default:
      return onLeaves(parseTextRule(operator, operand, at));
  }
}

/** A leaf is a value that is there and no object; of a list, one that fits is enough. */
function onLeaves(fits: Filter): Filter {
  return (value) =>
    Array.isArray(value)
      ? value.some((element) => onLeaves(fits)(element))
      : value !== undefined && !isRecord(value) && fits(value);
}

function parseTextRule(operator: string, operand: unknown, path: string): Filter {
  switch (operator) {
    case "prefix":
    case "suffix":
      return parseEnd(operator, operand, path);
    case "equals-ignore-case": {
      const expected = textIn(operand, path).toLowerCase();
      return (value) => typeof value === "string" && value.toLowerCase() === expected;
    }
    case "wildcard": {
      const parts = parseWildcard(textIn(operand, path), path);
      return (value) => typeof value === "string" && fitsWildcard(value, parts);
    }
    default:
      throw invalid(`${path}: there is no such operator`);
  }
}

function parseEnd(operator: "prefix" | "suffix", operand: unknown, path: string): Filter {
  const ignoresCase = isRecord(operand);
  if (ignoresCase && Object.keys(operand).join() !== "equals-ignore-case") {
    throw invalid(`${path}: expected text or {"equals-ignore-case": text}`);
  }
  const given = textIn(ignoresCase ? operand["equals-ignore-case"] : operand, path);
  const expected = ignoresCase ? given.toLowerCase() : given;
  return (value) => {
    if (typeof value !== "string") return false;
    const text = ignoresCase ? value.toLowerCase() : value;
    return operator === "prefix" ? text.startsWith(expected) : text.endsWith(expected);
  };
}

function parseAnythingBut(operand: unknown, path: string): Filter {
  if (isRecord(operand)) {
    const [operator, ...others] = Object.keys(operand);
    if (operator === undefined || others.length > 0) throw invalid(`${path}: expected one operator`);
    const given = operand[operator];
    const refused = (Array.isArray(given) ? given : [given]).map((one) =>
      parseTextRule(operator, one, `${path}.${operator}`),
    );
    if (refused.length === 0) throw invalid(`${path}.${operator}: an empty list`);
    return (value) => !refused.some((fits) => fits(value));
  }
  const values: unknown[] = Array.isArray(operand) ? operand : [operand];
  const isAlike =
    values.every((value) => typeof value === "string") || values.every((value) => typeof value === "number");
  if (values.length === 0 || !isAlike) throw invalid(`${path}: expected texts or numbers`);
  const refused = new Set<unknown>(values);
  return (value) => !refused.has(value);
}

/** What EventBridge takes. */
const NUMBER_MAX = 5e9;

type Comparison = (value: number) => boolean;

function parseNumeric(operand: unknown, path: string): Filter {
  const parts: readonly unknown[] = Array.isArray(operand) ? operand : [];
  if (parts.length !== 2 && parts.length !== 4) {
    throw invalid(`${path}: expected a list such as [">", 0] or [">", 0, "<=", 5]`);
  }
  const first = parseComparison(parts[0], parts[1], path);
  if (parts.length === 2) return (value) => typeof value === "number" && first(value);
  const isRange = String(parts[0]).startsWith(">") && String(parts[2]).startsWith("<");
  if (!isRange || Number(parts[1]) >= Number(parts[3])) {
    throw invalid(`${path}: expected a lower bound, then a higher one`);
  }
  const second = parseComparison(parts[2], parts[3], path);
  return (value) => typeof value === "number" && first(value) && second(value);
}

function parseComparison(sign: unknown, bound: unknown, path: string): Comparison {
  if (typeof bound !== "number" || Math.abs(bound) > NUMBER_MAX) {
    throw invalid(`${path}: expected a number from -5000000000 to 5000000000, got ${JSON.stringify(bound)}`);
  }
  switch (sign) {
    case "=":
      return (value) => value === bound;
    case "<":
      return (value) => value < bound;
    case "<=":
      return (value) => value <= bound;
    case ">":
      return (value) => value > bound;
    case ">=":
      return (value) => value >= bound;
    default:
      throw invalid(`${path}: expected =, <, <=, > or >=, got ${JSON.stringify(sign)}`);
  }
}

/** The texts between the stars; `\*` is a star and `\\` a backslash. */
function parseWildcard(text: string, path: string): readonly string[] {
  const parts = [""];
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? "";
    const last = parts.length - 1;
    if (character === "*") {
      if (parts[last] === "" && last > 0) throw invalid(`${path}: two stars in a row`);
      parts.push("");
    } else if (character === "\\") {
      at += 1;
      const escaped = text[at];
      if (escaped !== "*" && escaped !== "\\") throw invalid(`${path}: \\ must be followed by * or \\`);
      parts[last] += escaped;
    } else {
      parts[last] += character;
    }
  }
  return parts;
}

/** The first place where a part fits is as good as any, so nothing is tried twice. */
function fitsWildcard(value: string, parts: readonly string[]): boolean {
  const [first = "", ...rest] = parts;
  const last = rest.pop();
  if (last === undefined) return value === first;
  if (!value.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = value.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return value.length - last.length >= at && value.endsWith(last);
}

function textIn(operand: unknown, path: string): string {
  if (typeof operand === "string" && operand !== "") return operand;
  throw invalid(`${path}: expected text, got ${JSON.stringify(operand)}`);
}

function isScalar(value: unknown): boolean {
  return value === null || ["string", "number", "boolean"].includes(typeof value);
}

function invalid(what: string): PlatformError {
  return new PlatformError("InvalidRequest", `Invalid filter pattern definition. ${what}`);
}
