/** serverless.yml: https://www.serverless.com/framework/docs/providers/aws/guide/serverless.yml */
import { isRecord } from "../../core/is-record.ts";
import { Draft, defined, listOf, membersOf, numberOf, queueSettings, reference, textOf } from "./draft.ts";
import { resourceOf } from "./intrinsics.ts";

export function isServerless(file: unknown): boolean {
  return isRecord(file) && file.service !== undefined && isRecord(file.provider) && isRecord(file.functions);
}

const VARIABLE = /\$\{([^${}]+)\}/g;

export function importServerless(file: Readonly<Record<string, unknown>>): Draft {
  const service = isRecord(file.service) ? file.service.name : file.service;
  const draft = new Draft(textOf(service) ?? "project");
  const provider = isRecord(file.provider) ? file.provider : {};
  const read = (value: unknown, where: string) =>
    resolveVariables(value, file, (name) =>
      draft.note(`${where}: \${${name}} cannot be worked out here; fill it in`),
    );
  const common = variablesOf(provider.environment, (value) => read(value, "provider.environment"));
  for (const [name, each] of membersOf(file.functions)) {
    if (!isRecord(each)) continue;
    const text = (key: string) => read(each[key] ?? provider[key], `function ${name}`);
    const image = isRecord(each.image) ? each.image.uri : each.image;
    const path = isRecord(each.image) && each.image.path !== undefined ? textOf(each.image.path) : undefined;
    const added = draft.addFunction(name, {
      ...(image === undefined && path === undefined
        ? { path: ".", handler: text("handler"), runtime: text("runtime") }
        : { image: read(image, `function ${name}`), path }),
      description: read(each.description, `function ${name}`),
      memory: numberOf(text("memorySize")),
      timeout: numberOf(text("timeout")),
      tmp: numberOf(text("ephemeralStorageSize")),
      concurrency: defined({
        max: numberOf(each.reservedConcurrency),
        min: numberOf(each.provisionedConcurrency),
      }),
      environment: {
        ...common,
        ...variablesOf(each.environment, (value) => read(value, `function ${name}: environment`)),
      },
    });
    for (const event of listOf(each.events)) addEvent(draft, added, event, read);
    for (const key of ["layers", "vpc", "role", "onError", "destinations", "fileSystemConfig"]) {
      if (each[key] !== undefined) draft.note(`function ${name}: ${key} is not taken over`);
    }
  }
  for (const key of ["resources", "plugins", "layers", "stepFunctions"]) {
    if (file[key] !== undefined) draft.note(`${key}: nothing here stands for it`);
  }
  return draft;
}

type Read = (value: unknown, where: string) => string | undefined;

function addEvent(draft: Draft, name: string, event: unknown, read: Read): void {
  const [[kind, given] = ["?", undefined]] = membersOf(event);
  switch (kind) {
    case "http":
    case "httpApi": {
      const [method, path] = isRecord(given)
        ? [read(given.method, `function ${name}`), read(given.path, `function ${name}`)]
        : (read(given, `function ${name}`) ?? "").split(/\s+/);
      // One star is everything there is.
      if (method === "*" && path === undefined) draft.addRoute(name, "ANY", "/{proxy+}");
      else draft.addRoute(name, method ?? "ANY", path ?? "/");
      if (isRecord(given) && given.authorizer !== undefined)
        draft.note(`function ${name}: an authorizer is not taken over; docs/routes.md has auth`);
      return;
    }
    case "schedule": {
      const rates = isRecord(given) ? given.rate : given;
      for (const rate of Array.isArray(rates) ? rates : [rates]) {
        const expression = read(rate, `function ${name}: schedule`);
        if (expression === undefined) continue;
        const input = isRecord(given) ? given.input : undefined;
        const paused = isRecord(given) && given.enabled === false ? true : undefined;
        draft.addSchedule(name, isRecord(given) ? textOf(given.name) : undefined, expression, {
          input,
          paused,
        });
      }
      return;
    }
    case "sqs": {
      const settings = isRecord(given) ? given : {};
      const arn = isRecord(given) ? given.arn : given;
      const queue = isRecord(arn) ? undefined : read(arn, `function ${name}: sqs`);
      const id = arn === undefined ? undefined : resourceOf(arn);
      draft.addSource(
        name,
        id ??
          queue
            ?.split(":")
            .at(-1)
            ?.replace(/[^\w.-]+/g, "") ??
          name,
        queue,
        queueSettings((note) => draft.note(`function ${name}: ${note}`), {
          batch: numberOf(settings.batchSize),
          window: numberOf(settings.maximumBatchingWindow),
          concurrency: settings.maximumConcurrency,
          responses: settings.functionResponseType === undefined ? [] : [settings.functionResponseType],
          patterns: settings.filterPatterns,
          isEnabled: settings.enabled,
        }),
      );
      return;
    }
    default:
      draft.note(`function ${name}: event ${kind} is not taken over`);
  }
}

function variablesOf(value: unknown, read: (value: unknown) => string | undefined): Record<string, string> {
  return Object.fromEntries(membersOf(value).map(([name, each]) => [name, read(each) ?? reference(name)]));
}

/** `${self:…}` by what it names, `${env:X, 'y'}` in our words, and defaults of all others. */
function resolveVariables(
  value: unknown,
  file: Readonly<Record<string, unknown>>,
  unknown: (name: string) => void,
): string | undefined {
  let text = textOf(value);
  if (text === undefined) {
    if (value !== undefined) unknown(JSON.stringify(value).slice(0, 60));
    return undefined;
  }
  for (let depth = 0; depth < 10 && VARIABLE.test(text); depth++) {
    VARIABLE.lastIndex = 0;
    text = text.replace(VARIABLE, (_, inner: string) => {
      const [source = "", ...rest] = inner.split(",").map((part) => part.trim());
      const fallback = rest.join(",").replace(/^['"]|['"]$/g, "");
      const env = /^env:(\w+)$/.exec(source)?.[1];
      if (env !== undefined) return reference(env, fallback === "" ? undefined : fallback);
      const own = /^self:([\w.-]+)$/.exec(source)?.[1];
      const found =
        own === undefined
          ? undefined
          : textOf(own.split(".").reduce<unknown>((at, key) => Object(at)[key], file));
      if (found !== undefined) return found;
      if (rest.length > 0) return fallback;
      unknown(inner);
      return "";
    });
    VARIABLE.lastIndex = 0;
  }
  return text;
}
