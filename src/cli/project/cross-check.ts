/** What no schema can say of a lambda.yaml: whether names that are mentioned are there, and settings go together. */
import { ROUTE_METHODS } from "../../core/route.ts";
import { parseExpression } from "../../core/schedule-expression.ts";
import { parseQueueArn } from "../../core/source.ts";
import { nearest } from "../nearest.ts";
import { messageOf } from "../settings.ts";
import type { ProjectSections } from "./project-schema.ts";
import { expressionOf } from "./schedule-expression.ts";
import type { Problem } from "./schema-problems.ts";

/** `secret` is set if all that is wrong is that it is not set. */
export interface CrossProblem extends Problem {
  readonly secret?: string;
}

type Variables = Readonly<Record<string, string | undefined>>;
type Path = readonly PropertyKey[];

/** Secrets of hooks are not looked at: a hook that has one keeps it. */
export function* crossCheck(sections: ProjectSections, variables: Variables): Generator<CrossProblem> {
  const { functions, schedules = {}, secrets = [] } = sections;
  const names = Object.keys(functions);
  if (names.length === 0)
    yield { path: ["functions"], message: "a project has at least one function", isKey: true };
  for (const [index, name] of secrets.entries()) yield* checkSecret(name, ["secrets", index], variables);
  for (const [name, each] of Object.entries(functions)) {
    const at = ["functions", name];
    for (const [index, secret] of (each.secrets ?? []).entries())
      yield* checkSecret(secret, [...at, "secrets", index], variables);
    for (const [index, called] of (each.calls ?? []).entries()) {
      if (!called.includes("*")) yield* checkFunction(called, [...at, "calls", index], names);
    }
    if (each.path !== undefined && each.image !== undefined) {
      yield { path: [...at, "image"], message: "image and path: give one of them", isKey: true };
    }
  }
  for (const [name, { function: called, cron, rate, at }] of Object.entries(schedules)) {
    yield* checkFunction(called, ["schedules", name, "function"], names);
    if ([cron, rate, at].filter((time) => time !== undefined).length !== 1) {
      yield { path: ["schedules", name], message: "give one of cron, rate and at", isKey: true };
      continue;
    }
    const problem = expressionProblem(expressionOf({ cron, rate, at }));
    const key = cron !== undefined ? "cron" : rate !== undefined ? "rate" : "at";
    if (problem !== undefined) yield { path: ["schedules", name, key], message: problem, isKey: false };
  }
  yield* checkRoutes(sections, names);
  yield* checkHooks(sections, names);
  yield* checkSources(sections, names, variables);
}

function* checkFunction(name: string, path: Path, names: readonly string[]): Generator<CrossProblem> {
  if (names.includes(name)) return;
  const guess = nearest(name, names);
  const hint = guess === undefined ? `it has ${names.join(", ")}` : `did you mean ${guess}?`;
  const message = `there is no function ${JSON.stringify(name)} in this project; ${hint}`;
  yield { path, message, isKey: false };
}

function* checkSecret(secret: string, path: Path, variables: Variables): Generator<CrossProblem> {
  if (variables[secret] !== undefined) return;
  const message = `secret ${secret} is not set: set it in the environment of this command, or in a file that --env-file names`;
  yield { path, message, isKey: false, secret };
}

function expressionProblem(expression: string): string | undefined {
  try {
    parseExpression(expression);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function* checkRoutes({ routes = {} }: ProjectSections, names: readonly string[]): Generator<CrossProblem> {
  for (const [key, { function: called, response }] of Object.entries(routes)) {
    const path = ["routes", key];
    const method = key.split(" ")[0]?.toUpperCase() ?? "";
    if (!ROUTE_METHODS.some((each) => each === method)) {
      const guess = nearest(method, ROUTE_METHODS);
      const hint = guess === undefined ? "" : `; did you mean ${guess}?`;
      const message = `expected a method of ${ROUTE_METHODS.join(", ")}, got ${JSON.stringify(method)}${hint}`;
      yield { path, message, isKey: true };
    }
    if (called !== undefined) yield* checkFunction(called, [...path, "function"], names);
    if ((called === undefined) === (response === undefined)) {
      yield { path, message: "give either a function or a response", isKey: true };
    }
  }
}

function* checkHooks({ hooks = {} }: ProjectSections, names: readonly string[]): Generator<CrossProblem> {
  for (const [name, { function: called, provider, signature }] of Object.entries(hooks)) {
    const path = ["hooks", name];
    yield* checkFunction(called, [...path, "function"], names);
    if (signature && provider !== "hmac") {
      const message = `signature: only for provider hmac; ${provider} says itself how it signs`;
      yield { path: [...path, "signature"], message, isKey: true };
    }
  }
}

const OF_SQS = ["endpoint", "accessKeyId"] as const;
const OF_NATS = ["stream", "subject", "consumer", "from", "attempts", "user", "onFailure"] as const;

function* checkSources(
  { sources = {} }: ProjectSections,
  names: readonly string[],
  variables: Variables,
): Generator<CrossProblem> {
  for (const [name, source] of Object.entries(sources)) {
    const { queue, nats, secret } = source;
    const path = ["sources", name];
    yield* checkFunction(source.function, [...path, "function"], names);
    if (secret !== undefined) yield* checkSecret(secret, [...path, "secret"], variables);
    if ((queue === undefined) === (nats === undefined)) {
      yield { path, message: "give either queue (SQS) or nats, with its stream", isKey: true };
      continue;
    }
    const [others, whose] = queue === undefined ? [OF_SQS, "queues of SQS"] : [OF_NATS, "streams of NATS"];
    for (const key of others) {
      if (source[key] !== undefined)
        yield { path: [...path, key], message: `${key}: only for ${whose}`, isKey: true };
    }
    if (queue !== undefined && !parseQueueArn(queue)) {
      const message = `expected arn:aws:sqs:REGION:ACCOUNT:NAME, got ${JSON.stringify(queue)}`;
      yield { path: [...path, "queue"], message, isKey: false };
    }
    if (queue !== undefined && (source.accessKeyId === undefined) !== (secret === undefined)) {
      yield { path, message: "accessKeyId and secret: give both, or neither", isKey: true };
    }
    if (nats !== undefined && source.stream === undefined) {
      yield { path, message: "stream is missing: which stream of that server is to be read", isKey: true };
    }
    if (nats !== undefined && source.user !== undefined && secret === undefined) {
      const message = "user: name the variable that has the password, as secret";
      yield { path: [...path, "user"], message, isKey: true };
    }
  }
}
