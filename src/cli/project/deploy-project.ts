/** `lambda deploy` in a folder with a lambda.yaml: builds what has changed, all at once, and asks for one release of all. */
import { execFile } from "node:child_process";
import { hostname, userInfo } from "node:os";
import { promisify } from "node:util";
import { readSecrets, sendSecrets } from "../build-inputs.ts";
import { canaryLine, readCanary } from "../canary-view.ts";
import { CliError, usageError } from "../cli-error.ts";
import type { ApiClient } from "../client.ts";
import type { Command } from "../command.ts";
import { confirm } from "../confirm.ts";
import { readEnvironment } from "../environment.ts";
import { readShadow, shadowLine } from "../shadow-view.ts";
import { formatSpan, plural } from "../units.ts";
import { Fields } from "../wire.ts";
import { type FunctionSource, openFunctionSource } from "./function-source.ts";
import { sayHookNews } from "./hook-news.ts";
import { secretAsker, withHookSecrets } from "./project-secrets.ts";
import { type Project, readProject } from "./read-project.ts";
import { besidesOrder, functionOrder, given } from "./release-order.ts";
import { differenceLines, type ReleaseView, readDifference, readRelease } from "./release-view.ts";

export interface ProjectDeployOptions {
  /** The environment whose overrides hold. */
  readonly environment: string | undefined;
  readonly envFile: readonly string[];
  readonly preview: boolean;
  /** `canary` or `shadow`, as the server takes it: only a share of the calls goes to the release at first, or copies. */
  readonly trial: Readonly<Record<string, unknown>>;
  readonly dryRun: boolean;
  readonly prune: boolean;
  readonly adopt: boolean;
  readonly rebuild: boolean;
  readonly description: string | undefined;
}

/** Installing dependencies or compiling may take long without a word. */
const SILENCE_MS_MAX = 900_000;
/** The server builds as many at once as it can; more would only wait there. */
const BUILDS_AT_ONCE = 8;

export async function deployProject(
  command: Command,
  folder: string,
  options: ProjectDeployOptions,
): Promise<void> {
  const { host } = command;
  const startedAt = performance.now();
  const api = await command.client();
  const files = await readEnvironment(options.envFile, [], host.workingDir);
  const ask = secretAsker(command);
  const file = await readProject(folder, options.environment, { ...host.env, ...files }, ask);
  const project = await withHookSecrets(file, api, ask);
  const path = `/v1/projects/${project.sections.project}`;
  const [sources, known, commit] = await Promise.all([
    openSources(project),
    findReleases(api, path),
    findCommit(folder),
  ]);

  const builds = options.dryRun
    ? new Map<string, string>()
    : await buildChanged(
        command,
        api,
        path,
        sources.filter((source) => options.rebuild || !isKnown(known, source)),
        ({ secrets }) => readSecrets(secrets, folder, { HOME: host.env.HOME, ...project.variables }),
      );
  const prunes = options.preview || options.dryRun || (await mayRemove(command, project, known, options));
  const body = given({
    functions: Object.fromEntries(
      sources.map(({ name, inputs }) => {
        const section = project.sections.functions[name] ?? {};
        const order = given({ inputs, build: builds.get(name) });
        return [name, { ...functionOrder(project, section), ...order }];
      }),
    ),
    ...besidesOrder(project),
    commit,
    by: `${userInfo().username}@${hostname()}`,
    description: options.description,
    isPreview: options.preview,
    ...options.trial,
    isDryRun: options.dryRun,
    adopt: options.adopt,
    prune: prunes,
  });
  const done = await release(command, api, path, body);
  await sayEnd(command, project, options, done, Math.round(performance.now() - startedAt));
}

async function openSources({ folder, sections }: Project): Promise<FunctionSource[]> {
  const opened = await Promise.allSettled(
    Object.entries(sections.functions).map(([name, section]) => openFunctionSource(folder, name, section)),
  );
  throwAll(opened);
  return opened.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
}

interface KnownReleases {
  readonly live: ReleaseView | undefined;
  readonly latest: ReleaseView | undefined;
}

async function findReleases(api: ApiClient, path: string): Promise<KnownReleases> {
  try {
    const fields = new Fields("project", await api.json("GET", path));
    const [live, latest] = [fields.value("live"), fields.value("latest")];
    return {
      live: live === undefined ? undefined : readRelease(live),
      latest: latest === undefined ? undefined : readRelease(latest),
    };
  } catch (error) {
    if (error instanceof CliError && error.code === "ResourceNotFound")
      return { live: undefined, latest: undefined };
    throw error;
  }
}

function isKnown({ live, latest }: KnownReleases, { name, inputs }: FunctionSource): boolean {
  return [live, latest].some((release) =>
    release?.functions.some((each) => each.name === name && each.inputs === inputs),
  );
}

/** Gives the server's name for each build. @throws CliError of the first that fails, when all have ended. */
async function buildChanged(
  { output }: Command,
  api: ApiClient,
  path: string,
  sources: readonly FunctionSource[],
  read: (source: FunctionSource) => Promise<ReadonlyMap<string, Uint8Array>>,
): Promise<Map<string, string>> {
  const builds = new Map<string, string>();
  const waiting = [...sources];
  const failures: CliError[] = [];
  const lane = async () => {
    for (let source = waiting.shift(); source; source = waiting.shift()) {
      const { name } = source;
      try {
        const startedAt = performance.now();
        output.note(`${name}: building, ${source.detail}`, "dim");
        builds.set(
          name,
          await build({
            api,
            path,
            source,
            secrets: await read(source),
            say: (text) => output.note(`${name}: ${text}`, "dim"),
          }),
        );
        output.note(`${name}: built in ${formatSpan(performance.now() - startedAt)}`);
      } catch (error) {
        if (!(error instanceof CliError)) throw error;
        failures.push(prefixed(name, error));
      }
    }
  };
  await Promise.all(Array.from({ length: BUILDS_AT_ONCE }, lane));
  const [failure, ...others] = failures;
  if (!failure) return builds;
  for (const other of others) output.note(other.message, "red");
  throw failure;
}

function prefixed(name: string, { code, message, hint }: CliError): CliError {
  return CliError.fromServer(
    undefined,
    code,
    `${name}: ${message}`,
    hint ?? "nothing has changed; deploy again when it is mended",
  );
}

async function build(work: {
  readonly api: ApiClient;
  readonly path: string;
  readonly source: FunctionSource;
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  readonly say: (text: string) => void;
}): Promise<string> {
  const { api, path, source, secrets, say } = work;
  const buildSecrets = await sendSecrets(api, secrets);
  const lines = api.lines("POST", `${path}/builds/${encodeURIComponent(source.name)}`, {
    query: { options: JSON.stringify({ ...source.options, ...(buildSecrets && { buildSecrets }) }) },
    upload: await source.open(),
    headers: { "content-type": "application/octet-stream" },
    silenceMsMax: SILENCE_MS_MAX,
  });
  for await (const line of lines) {
    const fields = new Fields("build", line);
    const type = fields.text("type");
    if (type === "output") say(fields.text("text").replace(/\n$/, ""));
    if (type === "error") throw serverError(fields);
    if (type === "done") return fields.text("build");
  }
  throw endedEarly(api);
}

/** The last line of the answer. */
async function release(
  { output }: Command,
  api: ApiClient,
  path: string,
  body: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const lines = api.lines("POST", `${path}/releases`, { body, silenceMsMax: SILENCE_MS_MAX });
  for await (const line of lines) {
    const fields = new Fields("release", line);
    switch (fields.text("type")) {
      case "started":
        output.note(
          `${fields.text("function")}: version ${fields.number("version")} started in ${formatSpan(fields.number("readyMs"))}`,
        );
        break;
      case "error":
        throw serverError(fields);
      case "done":
        return line;
    }
  }
  throw endedEarly(api);
}

function serverError(fields: Fields): CliError {
  const error = fields.object("error");
  return CliError.fromServer(
    undefined,
    error.text("code"),
    error.text("message"),
    error.optionalText("hint"),
  );
}

function endedEarly({ server }: ApiClient): CliError {
  return CliError.local(
    "ServerUnreachable",
    `${server} ended the deployment without saying how`,
    "lambda releases shows what is live; look into lambdad's own log",
  );
}

/** Whether what the file no longer has may be taken out. @throws CliError `Usage` if not. */
async function mayRemove(
  command: Command,
  { sections }: Project,
  { live }: KnownReleases,
  { prune }: ProjectDeployOptions,
): Promise<boolean> {
  const removed = [
    ...namesWithout(live?.functions, sections.functions),
    ...namesWithout(live?.hooks, sections.hooks).map((name) => `hook ${name}`),
    ...namesWithout(live?.sources, sections.sources).map((name) => `source ${name}`),
  ];
  if (removed.length === 0 || prune) return prune;
  const question = `${removed.join(", ")}: no longer in lambda.yaml. Take ${removed.length === 1 ? "it" : "them"} out of the live release? [y/N] `;
  const { stdin, stderr } = command.host;
  if (stdin.isTTY && stderr.isTTY && (await confirm(command, question))) return true;
  throw usageError(
    `lambda.yaml no longer has ${removed.join(", ")}, which ${removed.length === 1 ? "is" : "are"} live: nothing was changed`,
    "answer y or pass --prune to take them out; lambda rollback brings them back",
  );
}

function namesWithout(
  live: readonly { readonly name: string }[] | undefined,
  wanted: Readonly<Record<string, unknown>> | undefined,
): string[] {
  return (live ?? []).map(({ name }) => name).filter((name) => !Object.hasOwn(wanted ?? {}, name));
}

async function sayEnd(
  { output }: Command,
  { sections }: Project,
  options: ProjectDeployOptions,
  line: unknown,
  tookMs: number,
): Promise<void> {
  const { type: _, ...rest } = Object(line);
  if (output.isJson) {
    await output.json({ project: sections.project, ...rest, tookMs });
    return;
  }
  const fields = new Fields("release", line);
  const number = fields.number("release");
  const secrets = fields.list("newSecrets").map((name) => `~ ${name}  secret of the hook\n`);
  const difference = differenceLines(readDifference(fields.value("difference"))) + secrets.join("");
  if (options.dryRun) {
    const goes = Object.keys(options.trial).length > 0 ? "would be tried" : "would go live";
    const what = fields.truth("isLive") ? "nothing to do: it is live already" : goes;
    await output.write(`${sections.project}: release ${number} ${what}\n${difference}`);
    return;
  }
  if (fields.truth("isLive")) {
    await sayHookNews(output, fields.list("hooks"));
    await output.write(
      `${sections.project}: release ${number} is live already; nothing has changed (${formatSpan(tookMs)})\n`,
    );
    return;
  }
  for (const [tried, lineOf] of Object.entries(TRIAL_LINES)) {
    if (!(tried in options.trial) || fields.value(tried) === undefined) continue;
    await output.write(
      `${difference}${sections.project}: ${lineOf(fields.value(tried))} (${formatSpan(tookMs)})\n`,
    );
    output.note(`lambda ${tried} --project ${sections.project} shows how it does`);
    return;
  }
  const where = options.preview ? `can be reached at ${fields.text("url")}` : "is live";
  await output.write(
    `${difference}${sections.project}: release ${number} ${where} (${formatSpan(tookMs)})\n`,
  );
  await sayHookNews(output, fields.list("hooks"));
  if (options.preview) {
    output.note(`lambda releases promote ${number} makes it live`);
    return;
  }
  for (const each of fields.list("functions")) {
    const released = new Fields("function", each);
    output.note(`  ${released.text("name")}  ${released.text("url")}`);
  }
}

const TRIAL_LINES = {
  canary: (value: unknown) => canaryLine(readCanary(value)),
  shadow: (value: unknown) => shadowLine(readShadow(value)),
};

/** Undefined where there is no git, or no commit. */
async function findCommit(folder: string): Promise<string | undefined> {
  try {
    const args = ["-C", folder, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"];
    const { stdout } = await promisify(execFile)("git", args, { timeout: 5_000 });
    return stdout.trim() || undefined;
  } catch {
    // Not every project is a repository, and not every machine has git.
    return undefined;
  }
}

/** All that is wrong with the functions at once. */
function throwAll(results: readonly PromiseSettledResult<unknown>[]): void {
  const reasons = results.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
  const [first] = reasons;
  if (first === undefined) return;
  const messages = reasons.map((reason) => (reason instanceof CliError ? reason.message : undefined));
  if (!(first instanceof CliError) || messages.includes(undefined) || reasons.length === 1) throw first;
  throw CliError.local(
    "FileUnusable",
    `${plural(reasons.length, "function")} cannot be read:\n${messages.join("\n")}`,
    first.hint,
  );
}
