import { CliError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName } from "../names.ts";
import { formatTable } from "../table.ts";
import { formatAge, formatBytes, plural } from "../units.ts";
import { Fields } from "../wire.ts";

/** A build may be silent for as long as it may take. */
const SILENCE_MS_MAX = 16 * 60_000;
const DIGEST_SHOWN = "sha256:".length + 12;

export async function listImages({ output, client }: Command, name: string | undefined): Promise<void> {
  const only = name === undefined ? undefined : functionName(name);
  const answer = await (await client()).json("GET", "/v1/images", { query: { function: only } });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const fields = new Fields("images", answer);
  const images = fields.list("images").map((value) => readImage(value));
  const problem = fields.optionalText("engineProblem");
  if (images.length === 0)
    output.note(
      only === undefined
        ? "no function is made of an image: lambda deploy --image IMAGE makes one"
        : `${only} is not made of an image`,
    );
  else {
    const now = Date.now();
    await output.write(
      formatTable(
        ["FUNCTION", "VERSION", "AGE", "SIZE", "IMAGE", "BASE", "BASE DIGEST", "IN USE BY"],
        images.map((image) => [
          image.function,
          image.version,
          image.createdAt === undefined ? "" : formatAge(image.createdAt, now),
          formatBytes(image.bytes),
          `${image.id.slice(0, DIGEST_SHOWN)}${image.isHere === false ? " (gone)" : ""}`,
          basesText(image),
          (image.base?.digest ?? image.base?.id ?? "").slice(0, DIGEST_SHOWN),
          usersOf(image).join(", "),
        ]),
      ),
    );
  }
  for (const [project, functions] of outdatedByProject(images))
    output.note(
      `newer bases for ${functions.join(", ")}: run lambda deploy --rebuild in the folder of project ${project}`,
      "yellow",
    );
  if (problem !== undefined) output.note(problem, "yellow");
}

/** What goes live only by a release of its project, with live versions that could be on newer bases. */
function outdatedByProject(images: readonly ImageView[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const { project, isLive, base, otherBases, function: name } of images) {
    const isOutdated = [base, ...otherBases].some((each) => each?.state === "outdated");
    if (project !== undefined && isLive && isOutdated)
      found.set(project, [...(found.get(project) ?? []), name]);
  }
  return found;
}

export interface RefreshOptions {
  /** False for --no-live; undefined leaves it to the server. */
  readonly live?: boolean;
}

/** What the engine says goes to stderr, what became of each function to stdout. */
export async function refreshImages(
  { output, client }: Command,
  names: readonly string[],
  options: RefreshOptions,
): Promise<void> {
  const functions = names.length === 0 ? undefined : names.map((name) => functionName(name));
  const api = await client();
  const lines = api.lines("POST", "/v1/images/refresh", {
    body: { functions, live: options.live },
    silenceMsMax: SILENCE_MS_MAX,
  });
  const refreshed: object[] = [];
  let failed = 0;
  for await (const line of lines) {
    const fields = new Fields("refresh", line);
    switch (fields.text("type")) {
      case "output":
        output.note(fields.text("text"), "dim");
        break;
      case "error": {
        const error = fields.object("error");
        throw CliError.fromServer(undefined, error.text("code"), error.text("message"), undefined);
      }
      case "refreshed": {
        const { type: _type, ...rest } = Object(line);
        refreshed.push(rest);
        if (fields.text("outcome") === "failed") failed += 1;
        if (!output.isJson) await output.write(`${sentence(fields)}\n`);
        break;
      }
      default:
        break;
    }
  }
  if (output.isJson) await output.json({ refreshed });
  else if (refreshed.length === 0) output.note("no function is made of an image");
  if (failed > 0)
    throw CliError.local(
      "FunctionFailed",
      `${plural(failed, "function")} could not be built on a newer base`,
      undefined,
    );
}

function sentence(fields: Fields): string {
  const name = fields.text("function");
  switch (fields.text("outcome")) {
    case "renewed": {
      const version = fields.number("version");
      const what = `${name}: version ${version} is built on the newer ${fields.text("base")}`;
      return fields.truth("isLive")
        ? `${what} and live`
        : `${what}; lambda rollback ${name} --to ${version} makes it live`;
    }
    case "current": {
      const note = fields.optionalText("note");
      return `${name}: ${fields.text("base")} is current${note === undefined ? "" : ` (${note})`}`;
    }
    case "failed":
      return `${name}: failed: ${fields.text("reason")}`;
    default:
      return `${name}: left as it is: ${fields.optionalText("reason") ?? ""}`;
  }
}

interface ImageView {
  readonly function: string;
  readonly version: string;
  readonly isLive: boolean;
  readonly aliases: readonly string[];
  readonly id: string;
  readonly source: string | undefined;
  readonly bytes: number;
  readonly createdAt: number | undefined;
  /** Undefined if the engine could not be asked. */
  readonly isHere: boolean | undefined;
  readonly containers: number;
  readonly base: BaseView | undefined;
  readonly otherBases: readonly BaseView[];
  readonly project: string | undefined;
}

interface BaseView {
  readonly name: string;
  readonly id: string;
  readonly digest: string | undefined;
  readonly state: string;
}

function readImage(value: unknown): ImageView {
  const fields = new Fields("image", value);
  const base = fields.optionalObject("base");
  return {
    function: fields.text("function"),
    version: fields.label("version"),
    isLive: fields.truth("isLive"),
    aliases: fields.list("aliases").map(String),
    id: fields.text("id"),
    source: fields.optionalText("source"),
    bytes: fields.number("bytes"),
    createdAt: fields.optionalNumber("createdAt"),
    isHere: fields.value("isHere") === undefined ? undefined : fields.truth("isHere"),
    containers: fields.optionalNumber("containers") ?? 0,
    base: base && readBase(base),
    otherBases: fields.list("otherBases").map((each) => readBase(new Fields("base", each))),
    project: fields.optionalText("project"),
  };
}

function readBase(base: Fields): BaseView {
  return {
    name: base.text("name"),
    id: base.text("id"),
    digest: base.optionalText("digest"),
    state: base.text("state"),
  };
}

function basesText({ base, otherBases, source }: ImageView): string {
  if (source !== undefined) return `(taken as ${source})`;
  const all = [base, ...otherBases].flatMap((each) => (each ? [baseText(each)] : []));
  return all.length === 0 ? "(scratch)" : all.join(", ");
}

/** A digest has a column of its own. */
function baseText({ name, state }: BaseView): string {
  if (state === "pinned") return `${name.split("@")[0]} (pinned)`;
  return state === "outdated" ? `${name} (newer there)` : name;
}

function usersOf({ isLive, aliases, containers }: ImageView): string[] {
  return [
    ...(isLive ? ["live"] : []),
    ...aliases,
    ...(containers > 0 ? [plural(containers, "container")] : []),
  ];
}
