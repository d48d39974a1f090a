import { Fields } from "../wire.ts";

/** The lines that builds and releases of a project are answered with (docs/api.md). */
export type BuildLine =
  | { readonly type: "output"; readonly text: string }
  | { readonly type: "done"; readonly build: string }
  | Failed;

export type ReleaseLine =
  | {
      readonly type: "done";
      readonly release: number;
      /** There was such a release already. */
      readonly isMade: boolean;
      readonly urls: Readonly<Record<string, string>>;
      /** Of hooks that are new, what senders have to be told. */
      readonly hooks: readonly string[];
    }
  | Failed;

interface Failed {
  readonly type: "error";
  readonly code: string;
  readonly message: string;
}

/** Undefined for lines that are of no interest here. */
export function readBuildLine(value: unknown): BuildLine | undefined {
  const fields = new Fields("build progress", value);
  switch (fields.text("type")) {
    case "output":
      return { type: "output", text: fields.text("text") };
    case "done":
      return { type: "done", build: fields.text("build") };
    case "error":
      return failed(fields);
    default:
      return undefined;
  }
}

export function readReleaseLine(value: unknown): ReleaseLine | undefined {
  const fields = new Fields("release progress", value);
  switch (fields.text("type")) {
    case "done": {
      const functions = fields.list("functions").map((each) => new Fields("function", each));
      return {
        type: "done",
        release: fields.number("release"),
        isMade: fields.truth("isMade"),
        urls: Object.fromEntries(functions.map((each) => [each.text("name"), each.text("url")])),
        hooks: fields.list("hooks").map(hookText),
      };
    }
    case "error":
      return failed(fields);
    default:
      return undefined;
  }
}

function hookText(value: unknown): string {
  const hook = new Fields("hook", value);
  const secret = hook.optionalText("secret");
  return `hook ${hook.text("name")}: ${hook.text("url")}${secret === undefined ? "" : `, secret ${secret}`}`;
}

function failed(fields: Fields): Failed {
  const error = fields.object("error");
  return { type: "error", code: error.text("code"), message: error.text("message") };
}
