import { parseFunctionName } from "../../core/ids.ts";
import { isRecord } from "../../core/is-record.ts";
import { parseProjectName } from "../../core/project.ts";
import { parseQueueArn } from "../../core/source.ts";
import { nameFromPath } from "../names.ts";

/** Around what will be a reference: characters that no text has, so that what a text has of its own stays as it is. */
const [OPEN, CLOSE] = ["\uFDD0", "\uFDD1"];

/** What stands for a variable in the environment of lambda deploy. */
export function reference(variable: string, byDefault?: string): string {
  return `${OPEN}env:${variable}${byDefault === undefined ? "" : `:-${byDefault}`}${CLOSE}`;
}

/** A lambda.yaml in the making, and what could not be taken over into it. */
export class Draft {
  readonly functions: Record<string, Record<string, unknown>> = {};
  readonly routes: Record<string, Record<string, unknown>> = {};
  readonly schedules: Record<string, Record<string, unknown>> = {};
  readonly sources: Record<string, Record<string, unknown>> = {};
  readonly notes: string[] = [];
  readonly #project: string;

  constructor(project: string) {
    this.#project = project;
  }

  note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text);
  }

  /** Gives the name that the function has. */
  addFunction(given: string, section: Readonly<Record<string, unknown>>): string {
    const name = parseFunctionName(given) ?? nameFromPath(given);
    if (name !== given) this.note(`function ${given}: is called ${name} here`);
    this.functions[name] = defined(section);
    return name;
  }

  addRoute(functionName: string, method: string, path: string): void {
    const verb = /^(any|\*|x-amazon-apigateway-any-method)$/i.test(method) ? "ANY" : method.toUpperCase();
    const key = `${verb} ${path.startsWith("/") ? path : `/${path}`}`;
    if (this.routes[key]) this.note(`route ${key}: is there twice; ${functionName} does not have it`);
    else this.routes[key] = { function: functionName };
  }

  /** `expression` is AWS's `rate(…)` or `cron(…)`, or one of cron's five fields. */
  addSchedule(functionName: string, given: string | undefined, expression: string, more: object = {}): void {
    const base = (given ?? functionName).replace(/[^0-9A-Za-z_.-]+/g, "-");
    let name = base;
    for (let number = 2; this.schedules[name]; number++) name = `${base}-${number}`;
    const rate = /^rate\((.+)\)$/.exec(expression)?.[1];
    const at = /^at\((.+)\)$/.exec(expression)?.[1];
    const time = rate !== undefined ? { rate } : at !== undefined ? { at } : { cron: expression };
    this.schedules[name] = defined({ function: functionName, ...time, ...more });
  }

  /** Undefined for a queue that only a deployment on AWS could tell: whoever deploys says it. */
  addSource(functionName: string, given: string, queue: string | undefined, more: object): void {
    const base = given.replace(/[^0-9A-Za-z_.-]+/g, "-");
    let name = base;
    for (let number = 2; this.sources[name]; number++) name = `${base}-${number}`;
    const variable = `${base.toUpperCase().replace(/[^A-Z0-9]+/g, "_")}_ARN`;
    if (queue === undefined)
      this.note(
        `source ${name}: the ARN of its queue is taken from ${variable} in the environment of lambda deploy`,
      );
    else if (!queue.includes(OPEN) && !parseQueueArn(queue))
      this.note(`source ${name}: ${queue} is not the ARN of a queue; fill it in`);
    this.sources[name] = defined({ function: functionName, queue: queue ?? reference(variable), ...more });
  }

  /** What is written. */
  document(): Record<string, unknown> {
    const text = this.#project.toLowerCase().replace(/[^a-z0-9]+/g, "-");
    const project = parseProjectName(text.replace(/^-|-$/g, "").slice(0, 40)) ?? "project";
    const { functions, routes, schedules, sources } = this;
    const sections = { functions, routes, schedules, sources };
    const used = Object.entries(sections).filter(([, section]) => Object.keys(section).length > 0);
    return { project, ...membersAsWritten(Object.fromEntries(used)) };
  }
}

/** References as a lambda.yaml has them; `${` in a value that is none of ours is written so that it stays that. */
function asWritten(value: unknown): unknown {
  if (typeof value === "string") return withReferences(value.replaceAll("${", () => "$${"));
  if (Array.isArray(value)) return value.map(asWritten);
  return isRecord(value) ? membersAsWritten(value) : value;
}

/** Nothing is read out of names. */
function membersAsWritten(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(members).map(([name, value]) => [withReferences(name), asWritten(value)]),
  );
}

function withReferences(text: string): string {
  return text.replaceAll(OPEN, "${").replaceAll(CLOSE, "}");
}

/** The members of what may be no map at all. */
export function membersOf(value: unknown): [string, unknown][] {
  return isRecord(value) ? Object.entries(value) : [];
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}

export function numberOf(value: unknown): number | undefined {
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof number === "number" && !Number.isNaN(number) ? number : undefined;
}

/** Without members that are undefined, or empty maps and lists. */
export function defined(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => {
      if (value === undefined) return false;
      if (Array.isArray(value)) return value.length > 0;
      return !isRecord(value) || Object.keys(value).length > 0;
    }),
  );
}

/** Settings of a source in our words; patterns are JSON, or what JSON would say. `note` is told of others. */
export function queueSettings(
  note: (text: string) => void,
  given: {
    readonly batch: number | undefined;
    readonly window: number | undefined;
    readonly concurrency: unknown;
    readonly responses: unknown;
    readonly patterns: unknown;
    readonly isEnabled: unknown;
  },
): Record<string, unknown> {
  const patterns = listOf(given.patterns).flatMap((each): unknown[] => {
    const pattern = isRecord(each) && "Pattern" in each ? each.Pattern : each;
    if (typeof pattern !== "string") return [pattern];
    try {
      return [JSON.parse(pattern) as unknown];
    } catch {
      note(`filter ${pattern} is not JSON: it is not taken over`);
      return [];
    }
  });
  return defined({
    batch: given.batch,
    window: given.window === 0 ? undefined : given.window,
    concurrency: numberOf(given.concurrency),
    partialFailures: listOf(given.responses).includes("ReportBatchItemFailures") || undefined,
    filters: patterns,
    paused: given.isEnabled === false || undefined,
  });
}
