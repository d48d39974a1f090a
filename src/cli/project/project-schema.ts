/**
 * What may be in a lambda.yaml. The JSON Schema for editors is made of this (docs/lambda.schema.json), so both say the
 * same.
 */
import * as z from "zod";
import {
  BUILD_ARG_NAME,
  BUILD_ARG_RULE,
  BUILD_SECRET_ID,
  BUILD_SECRET_RULE,
} from "../../core/build-inputs.ts";
import { HMAC_ALGORITHMS, HOOK_NAME_RULE, HOOK_PROVIDERS, isHookName } from "../../core/hook.ts";
import { FUNCTION_NAME_RULE, parseFunctionName } from "../../core/ids.ts";
import { RECORDING_KEEP_MS_MAX, RECORDING_KEEP_MS_MIN, RECORDING_REDACT_MAX } from "../../core/limits.ts";
import { PROJECT_NAME_RULE, parseProjectName } from "../../core/project.ts";
import { isRedactable, REDACTABLE_RULE } from "../../core/redaction.ts";
import { isScheduleName, OVERLAPS, SCHEDULE_NAME_RULE } from "../../core/schedule.ts";
import { isSourceName, SOURCE_NAME_RULE } from "../../core/source.ts";
import { CliError, usageError } from "../cli-error.ts";
import { mibOption, percentOption, spanOption } from "../units.ts";

/** A number or text that `read` understands; it throws a CliError that says what it expected. */
function quantity(read: (name: string, text: string) => number, description: string) {
  return z
    .union([z.number(), z.string()])
    .describe(description)
    .transform((given, context) => {
      try {
        return read("", String(given));
      } catch (error) {
        const message = error instanceof CliError ? error.message.replace(/^: /, "") : String(error);
        context.addIssue({ code: "custom", message });
        return z.NEVER;
      }
    });
}

const size = (description: string) => quantity(mibOption, `${description}: MiB, or 256M, 1G.`);
const span = (description: string) =>
  quantity(spanOption, `${description}: seconds, or 500ms, 3s, 2m, 1h30m.`);

function keepOption(name: string, text: string): number {
  const keepMs = spanOption(name, text);
  if (keepMs >= RECORDING_KEEP_MS_MIN && keepMs <= RECORDING_KEEP_MS_MAX) return keepMs;
  throw usageError(`${name}: expected a span from 1h to 30d, got ${JSON.stringify(text)}`);
}

const VariableName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "expected letters, digits and _");

/** What was written instead may be a secret. */
const SecretName = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_]*$/,
    "expected the name of the variable that has the secret: letters, digits and _; what it got is not shown",
  );

const Variables = z
  .record(VariableName, z.union([z.string(), z.number(), z.boolean()]).transform(String))
  .describe(
    `Environment variables. $\{env:NAME} and $\{env:NAME:-default} are taken from the environment of whoever deploys.`,
  );

const Secrets = z
  .array(SecretName)
  .describe(
    "Names of variables whose values are taken from the environment of whoever deploys, or from --env-file.",
  );

const FunctionKey = z
  .string()
  .refine((name) => parseFunctionName(name) !== undefined, { error: `expected ${FUNCTION_NAME_RULE}` });

const FunctionSection = z
  .strictObject({
    path: z
      .string()
      .min(1)
      .describe("Folder, archive or file with the code, from lambda.yaml on. Default: the function's name."),
    image: z.string().min(1).max(512).describe("An image of the container engine instead of a path."),
    runtime: z
      .string()
      .min(1)
      .max(64)
      .describe("nodejs24.x, python3.13, provided.al2023 … Default: detected."),
    kind: z
      .enum(["handler", "lifecycle", "server", "filter"])
      .describe("The way it is written. Default: detected."),
    handler: z.string().min(1).max(128).describe("What to call: FILE.FUNCTION. Default: detected."),
    module: z.string().min(1).max(256).describe("Lifecycle module. Default: detected."),
    command: z
      .union([z.string().min(1), z.array(z.string()).min(1)])
      .describe("Program of a server or filter: words, or a list of them."),
    package: z
      .enum(["zip", "image"])
      .describe("What to make of a folder. Default: image if it has a Dockerfile."),
    buildArgs: z
      .record(
        z.string().regex(BUILD_ARG_NAME, `expected ${BUILD_ARG_RULE}`),
        z.union([z.string(), z.number(), z.boolean()]).transform(String),
      )
      .describe("Arguments of the Dockerfile's build."),
    buildSecrets: z
      .record(
        z.string().regex(BUILD_SECRET_ID, `expected ${BUILD_SECRET_RULE}`),
        z.union([
          z.strictObject({ file: z.string().min(1).describe("A file, from lambda.yaml on, or ~/…") }),
          z.strictObject({ env: VariableName.describe("A variable of whoever deploys.") }),
        ]),
      )
      .describe("Secrets of the Dockerfile's build, by the id that RUN --mount=type=secret has."),
    build: z.boolean().describe("false takes the code as it is."),
    allowScripts: z.boolean().describe("Lets dependencies run their install scripts."),
    memory: size("Memory limit"),
    cpus: z.number().min(0.05).max(64).describe("Limits CPU time. Default: follows the memory."),
    timeout: span("Longest call"),
    tmp: size("Size of /tmp"),
    network: z.enum(["host", "none", "public"]).describe("What it can reach."),
    slots: z
      .int()
      .min(1)
      .max(1_000)
      .describe("Calls that one instance serves at the same time (lifecycle, server)."),
    concurrency: z
      .strictObject({
        max: z
          .int()
          .min(0)
          .max(1_000_000)
          .describe("Most calls at the same time, over all instances; 0 refuses all."),
        min: z.int().min(0).max(1_000).describe("Instances that are kept started, called or not."),
      })
      .partial(),
    environment: Variables,
    secrets: Secrets,
    calls: z
      .array(
        z
          .string()
          .regex(/^[A-Za-z0-9_*-]{1,64}$/, "expected the name of a function, in which * stands for anything"),
      )
      .max(20)
      .describe(
        "Functions that it may invoke by the AWS API: it finds endpoint and credentials in its environment.",
      ),
    description: z.string().max(256),
    recording: z
      .strictObject({
        sample: quantity(percentOption, "Share of the calls: 10%. Default: 100%."),
        keep: quantity(keepOption, "Recordings go after that: 1h to 30d. Default: 7d."),
        redact: z
          .array(z.string().refine(isRedactable, { error: `expected ${REDACTABLE_RULE}` }))
          .max(RECORDING_REDACT_MAX)
          .describe("Taken out besides the usual: names, or places like body.card.number."),
      })
      .partial()
      .describe("Keeps inputs and outcomes of its calls, to be replayed; {} keeps all. Default: none."),
  })
  .partial();

const ScheduleKey = z.string().refine(isScheduleName, { error: `expected ${SCHEDULE_NAME_RULE}` });

const ScheduleSection = z
  .strictObject({
    cron: z.string().min(1).describe("Five fields, or AWS's cron(…)."),
    rate: z.string().min(1).describe("5 minutes, 1 hour …"),
    at: z.string().min(1).describe("Once: 2026-12-24T18:00."),
    timezone: z.string().min(1).describe("Europe/Berlin … Default: UTC."),
    input: z
      .unknown()
      .describe("What the function gets instead of EventBridge's event: text as it is, all else as JSON."),
    overlap: z.enum(OVERLAPS).describe("What happens while an earlier event has not ended."),
    catchUp: z.int().min(0).max(100).describe("Missed instants that are made up for."),
    jitter: span("Share of this by which each instant is put off"),
    paused: z.boolean(),
    description: z.string().max(512),
  })
  .partial()
  .extend({ function: z.string().min(1).describe("A function of this project.") });

const Texts = z.array(z.string().min(1)).min(1);

const RouteSection = z
  .strictObject({
    function: z.string().min(1).describe("A function of this project."),
    host: z.string().min(1).max(260).describe("api.localhost. Default: every host that means nothing else."),
    async: z.boolean().describe("The request becomes an event, and is answered 202."),
    stripPrefix: z.string().min(1).describe("Cut off the path that the function sees."),
    stageVariables: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String)),
    response: z
      .strictObject({
        status: z.int().min(200).max(599),
        headers: z.record(z.string(), z.string()),
        body: z.string(),
      })
      .partial()
      .describe("The same answer to everybody, instead of a function."),
    auth: z
      .strictObject({
        issuer: z.string().min(1),
        audience: Texts,
        scopes: Texts,
        jwksUrl: z.string().min(1).describe("Where the issuer's keys are."),
        publicKey: z.string().min(1).describe("Its key in PEM."),
      })
      .partial()
      .extend({ type: z.enum(["none", "key", "jwt"]) })
      .describe("Who may call."),
    cors: z
      .strictObject({
        methods: Texts,
        headers: Texts,
        exposed: Texts,
        credentials: z.boolean(),
        maxAge: span("How long browsers remember it"),
      })
      .partial()
      .extend({ origins: Texts }),
    limit: z
      .strictObject({ burst: z.int().min(1), per: z.enum(["route", "ip"]) })
      .partial()
      .extend({
        rate: z.string().regex(/^\d+(\.\d+)?\/(s|m|h)$/, "expected a rate like 10/s, 100/m or 5/h"),
      }),
    description: z.string().max(512),
  })
  .partial();

const RouteKey = z
  .string()
  .regex(/^[A-Za-z]+ +\/\S*$/, 'expected a method and a path, like "GET /stock/{symbol}"');

const HookKey = z.string().refine(isHookName, { error: `expected ${HOOK_NAME_RULE}` });
const HeaderName = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, "expected the name of a header");

const HookSection = z
  .strictObject({
    secret: SecretName.describe(
      "Name of the variable that has the secret. Default: made at the first deploy and shown once; Stripe and Slack make theirs.",
    ),
    signature: z
      .strictObject({
        header: HeaderName.describe("Header with the signature. Default: X-Signature-256."),
        algorithm: z.enum(HMAC_ALGORITHMS),
        idHeader: HeaderName.describe("Header with an id that no other delivery has."),
        timestampHeader: HeaderName.describe("Header with the time, which is signed too."),
      })
      .partial()
      .describe("How the sender signs; for provider hmac."),
    paused: z.boolean(),
    description: z.string().max(512),
  })
  .partial()
  .extend({
    function: z.string().min(1).describe("A function of this project."),
    provider: z.enum(HOOK_PROVIDERS).describe("Whose way of signing is checked."),
  });

const SourceKey = z.string().refine(isSourceName, { error: `expected ${SOURCE_NAME_RULE}` });

const SourceSection = z
  .strictObject({
    queue: z.string().min(1).describe("A queue of SQS: arn:aws:sqs:REGION:ACCOUNT:NAME."),
    endpoint: z.string().min(1).describe("Where SQS is. Default: as lambdad is configured."),
    accessKeyId: z.string().min(1).describe("Whose requests to SQS are. Default: as lambdad is configured."),
    nats: z
      .union([z.string().min(1), Texts])
      .describe("Servers of NATS: nats://HOST:PORT, or a list of them."),
    stream: z.string().min(1).describe("The stream of NATS."),
    subject: z.string().min(1).describe("Which of its subjects, if the consumer is made here."),
    consumer: z.string().min(1).describe("Its durable consumer. Default: the function's name."),
    from: z.enum(["first", "new"]).describe("Where it begins, if the consumer is made here."),
    attempts: z.int().min(1).max(1_000).describe("When a message of NATS is given up. Default: never."),
    user: z.string().min(1).describe("User of NATS; without one the secret is a token or credentials."),
    secret: SecretName.describe("Name of the variable that has the password, or the secret access key."),
    batch: z.int().min(1).max(10_000).describe("Most messages of one call. Default: 10."),
    window: span("How long a batch waits for more"),
    concurrency: z.int().min(1).max(1_000).describe("Most batches at the same time."),
    partialFailures: z.boolean().describe("The answer may name the messages that failed."),
    filters: z
      .array(z.record(z.string(), z.unknown()))
      .max(10)
      .describe("Patterns of EventBridge; a message that fits none is removed unseen."),
    onFailure: z.string().min(1).describe("Who is told of messages of NATS that are given up."),
    paused: z.boolean(),
  })
  .partial()
  .extend({ function: z.string().min(1).describe("A function of this project.") });

const sections = {
  environment: Variables,
  secrets: Secrets,
  functions: z.record(FunctionKey, FunctionSection).describe("By name."),
  schedules: z.record(ScheduleKey, ScheduleSection).describe("By name."),
  routes: z.record(RouteKey, RouteSection).describe("By method and path: GET /stock/{symbol}."),
  hooks: z.record(HookKey, HookSection).describe("Addresses for what others send signed, by name."),
  sources: z.record(SourceKey, SourceSection).describe("Queues that functions are called for, by name."),
};

const ProjectName = z
  .string()
  .refine((name) => parseProjectName(name) !== undefined, { error: `expected ${PROJECT_NAME_RULE}` })
  .describe(`Name of the project: ${PROJECT_NAME_RULE}.`);

/** A lambda.yaml with the overrides of one environment applied. */
export const ProjectFile = z
  .strictObject(sections)
  .partial()
  .extend({ project: ProjectName, functions: sections.functions });

export type ProjectSections = z.output<typeof ProjectFile>;
export type FunctionSections = ProjectSections["functions"][string];
export type ScheduleSections = NonNullable<ProjectSections["schedules"]>[string];

export type HookSections = NonNullable<ProjectSections["hooks"]>[string];
export type SourceSections = NonNullable<ProjectSections["sources"]>[string];
export type RouteSections = NonNullable<ProjectSections["routes"]>[string];

/** With overrides, which may leave out what is there already, and take something away with null. */
const WholeFile = ProjectFile.extend({
  environments: z
    .record(
      z.string(),
      z
        .strictObject({
          ...sections,
          functions: z.record(z.string(), FunctionSection.nullable()),
          schedules: z.record(z.string(), ScheduleSection.partial().nullable()),
          routes: z.record(z.string(), RouteSection.nullable()),
          hooks: z.record(z.string(), HookSection.partial().nullable()),
          sources: z.record(z.string(), SourceSection.partial().nullable()),
        })
        .partial(),
    )
    .describe("What is otherwise in an environment: lambda deploy --env NAME. null takes something away.")
    .optional(),
});

export function projectJsonSchema(): Record<string, unknown> {
  return {
    title: "lambda.yaml",
    ...z.toJSONSchema(WholeFile, { io: "input" }),
  };
}

/** What may be at a place; undefined where anything may. */
export function keysAt(path: readonly PropertyKey[]): readonly string[] | undefined {
  let at: unknown = projectJsonSchema();
  for (const key of path) {
    const { properties, additionalProperties } = Object(at);
    at = Object(properties)[key] ?? additionalProperties;
  }
  const { properties } = Object(at);
  return properties === undefined ? undefined : Object.keys(properties);
}
