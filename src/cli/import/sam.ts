/** SAM templates: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/ */
import { isRecord } from "../../core/is-record.ts";
import { Draft, defined, membersOf, numberOf, queueSettings, reference, textOf } from "./draft.ts";
import { evaluate, Intrinsic, longForm, type Parameters, resourceOf } from "./intrinsics.ts";

const FUNCTION = "AWS::Serverless::Function";
/** What means nothing here, and nobody misses. */
const QUIET = new Set([
  "Tracing",
  "Architectures",
  "Tags",
  "AutoPublishAlias",
  "DeploymentPreference",
  "Role",
  "Metadata",
]);
const KNOWN = new Set([
  ...QUIET,
  ...["CodeUri", "Handler", "Runtime", "MemorySize", "Timeout", "Environment", "Events", "FunctionName"],
  ...["Description", "ReservedConcurrentExecutions", "ProvisionedConcurrencyConfig", "EphemeralStorage"],
  ...["PackageType", "ImageUri", "ImageConfig", "InlineCode", "Policies"],
]);

export function isSam(template: unknown): boolean {
  return (
    isRecord(template) &&
    membersOf(template.Resources).some(([, each]) => isRecord(each) && each.Type === FUNCTION)
  );
}

export function importSam(template: Readonly<Record<string, unknown>>, project: string): Draft {
  const draft = new Draft(project);
  const parameters: Parameters = new Map(
    membersOf(template.Parameters).flatMap(([name, each]) => {
      const value = isRecord(each) ? textOf(each.Default) : undefined;
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
  const globals =
    isRecord(template.Globals) && isRecord(template.Globals.Function) ? template.Globals.Function : {};
  const functions = membersOf(template.Resources).flatMap(([id, each]) =>
    isRecord(each) && each.Type === FUNCTION
      ? [{ id, properties: withGlobals(globals, each.Properties) }]
      : [],
  );
  const names = new Map(
    functions.map(({ id, properties }) => [id, evaluate(properties.FunctionName, parameters) ?? id]),
  );
  for (const { id, properties } of functions) {
    new FunctionImport(draft, parameters, names, names.get(id) ?? id, properties).run();
  }
  for (const [id, each] of membersOf(template.Resources)) {
    if (isRecord(each) && each.Type !== FUNCTION)
      draft.note(`resource ${id} (${textOf(each.Type)}): nothing here stands for it`);
  }
  return draft;
}

function withGlobals(
  globals: Readonly<Record<string, unknown>>,
  own: unknown,
): Readonly<Record<string, unknown>> {
  const properties = isRecord(own) ? own : {};
  const variables = (from: Readonly<Record<string, unknown>>) =>
    isRecord(from.Environment) && isRecord(from.Environment.Variables) ? from.Environment.Variables : {};
  return {
    ...globals,
    ...properties,
    Environment: { Variables: { ...variables(globals), ...variables(properties) } },
  };
}

class FunctionImport {
  readonly #draft: Draft;
  readonly #parameters: Parameters;
  readonly #names: ReadonlyMap<string, string>;
  readonly #name: string;
  readonly #properties: Readonly<Record<string, unknown>>;

  constructor(
    draft: Draft,
    parameters: Parameters,
    names: ReadonlyMap<string, string>,
    name: string,
    properties: Readonly<Record<string, unknown>>,
  ) {
    this.#draft = draft;
    this.#parameters = parameters;
    this.#names = names;
    this.#name = name;
    this.#properties = properties;
  }

  run(): void {
    const given = this.#properties;
    const isImage = given.PackageType === "Image";
    const provisioned = isRecord(given.ProvisionedConcurrencyConfig)
      ? given.ProvisionedConcurrencyConfig
      : {};
    const storage = isRecord(given.EphemeralStorage) ? given.EphemeralStorage : {};
    const name = this.#draft.addFunction(this.#name, {
      ...(isImage ? this.#image() : this.#code()),
      description: this.#text("Description"),
      memory: this.#number("MemorySize"),
      timeout: this.#number("Timeout"),
      tmp: numberOf(storage.Size),
      concurrency: defined({
        max: this.#number("ReservedConcurrentExecutions"),
        min: numberOf(provisioned.ProvisionedConcurrentExecutions),
      }),
      environment: this.#environment(),
      calls: this.#calls(),
    });
    for (const [id, event] of membersOf(given.Events)) this.#event(name, id, event);
    for (const key of Object.keys(given)) {
      if (!KNOWN.has(key)) this.#note(`${key} is not taken over`);
    }
  }

  #code(): Record<string, unknown> {
    if (this.#properties.InlineCode !== undefined)
      this.#note("InlineCode: put it into a file, and its folder into path");
    const path = this.#text("CodeUri");
    if (path?.startsWith("s3://")) this.#note(`CodeUri ${path}: fetch it, and put its folder into path`);
    return {
      path: path?.startsWith("s3://") ? undefined : (path ?? "."),
      handler: this.#text("Handler"),
      runtime: this.#text("Runtime"),
    };
  }

  #image(): Record<string, unknown> {
    const image = this.#text("ImageUri");
    if (image !== undefined) return { image };
    this.#note("the image is built by its Metadata: path is taken for the folder of its Dockerfile");
    return { path: ".", package: "image" };
  }

  #environment(): Record<string, string> {
    const { Environment: environment } = this.#properties;
    const variables = isRecord(environment) ? membersOf(environment.Variables) : [];
    return Object.fromEntries(
      variables.map(([variable, value]) => {
        const text = evaluate(value, this.#parameters);
        if (text !== undefined) return [variable, text];
        const shown = value instanceof Intrinsic ? value : (longForm(value) ?? JSON.stringify(value));
        this.#note(`variable ${variable} was ${shown}: it is taken from the environment of lambda deploy`);
        return [variable, reference(variable)];
      }),
    );
  }

  /** Of its policies, those that let it invoke functions. */
  #calls(): string[] {
    const policies = this.#properties.Policies;
    return (Array.isArray(policies) ? policies : policies === undefined ? [] : [policies]).flatMap(
      (policy) => {
        const invoke =
          isRecord(policy) && isRecord(policy.LambdaInvokePolicy) ? policy.LambdaInvokePolicy : undefined;
        const id = invoke && (resourceOf(invoke.FunctionName) ?? textOf(invoke.FunctionName));
        if (id !== undefined) return [this.#names.get(id) ?? id];
        const what = textOf(policy) ?? (isRecord(policy) ? Object.keys(policy).join(", ") : "?");
        this.#note(`policy ${what}: there are no roles here`);
        return [];
      },
    );
  }

  #event(name: string, id: string, event: unknown): void {
    const { Type: type, Properties: given } = isRecord(event) ? event : {};
    const properties = isRecord(given) ? given : {};
    const text = (key: string) => evaluate(properties[key], this.#parameters);
    const [path, method, expression] = [
      text("Path"),
      text("Method"),
      text("Schedule") ?? text("ScheduleExpression"),
    ];
    if ((type === "Api" || type === "HttpApi") && path !== undefined) {
      this.#draft.addRoute(name, method ?? "ANY", path);
      if (properties.Auth !== undefined)
        this.#note(`event ${id}: its Auth is not taken over; docs/routes.md has auth`);
      return;
    }
    if ((type === "Schedule" || type === "ScheduleV2") && expression !== undefined) {
      const isPaused = properties.Enabled === false || properties.State === "DISABLED";
      const timezone = text("ScheduleExpressionTimezone");
      const more = { timezone, input: text("Input"), ...(isPaused && { paused: true }) };
      this.#draft.addSchedule(name, text("Name") ?? `${name}-${id}`, expression, more);
      return;
    }
    if (type === "SQS") {
      this.#queue(name, properties);
      return;
    }
    this.#note(`event ${id} (${textOf(type) ?? "?"}): is not taken over`);
  }

  #queue(name: string, properties: Readonly<Record<string, unknown>>): void {
    const text = (key: string) => evaluate(properties[key], this.#parameters);
    const resource = resourceOf(properties.Queue);
    const queue = text("Queue");
    const more = queueSettings((note) => this.#note(note), {
      batch: numberOf(text("BatchSize")),
      window: numberOf(text("MaximumBatchingWindowInSeconds")),
      concurrency: isRecord(properties.ScalingConfig)
        ? properties.ScalingConfig.MaximumConcurrency
        : undefined,
      responses: properties.FunctionResponseTypes,
      patterns: isRecord(properties.FilterCriteria) ? properties.FilterCriteria.Filters : undefined,
      isEnabled: properties.Enabled,
    });
    this.#draft.addSource(name, resource ?? queue?.split(":").at(-1) ?? name, queue, more);
  }

  #text(key: string): string | undefined {
    const value = this.#properties[key];
    const text = evaluate(value, this.#parameters);
    if (value !== undefined && text === undefined)
      this.#note(`${key}: cannot be worked out here; fill it in`);
    return text;
  }

  #number(key: string): number | undefined {
    return numberOf(this.#text(key));
  }

  #note(text: string): void {
    this.#draft.note(`function ${this.#name}: ${text}`);
  }
}
