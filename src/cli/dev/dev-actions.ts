import { spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CliError } from "../cli-error.ts";
import type { ApiClient } from "../client.ts";
import type { DevKeys } from "./dev-keys.ts";
import type { DevScreen } from "./dev-screen.ts";

/** What the keys do with functions that are live. */
export interface ActionParts {
  readonly api: ApiClient;
  readonly keys: () => DevKeys;
  readonly screen: DevScreen;
  live(): readonly { readonly name: string; readonly folder: string }[];
  url(name: string): string | undefined;
}

const ANSWER_LENGTH_MAX = 4_000;
const CHOICES_MAX = 50;
const SILENCE_MS_MAX = 960_000;

export class DevActions {
  readonly #parts: ActionParts;
  #last: string | undefined;
  /** By function, what it was called with last. */
  readonly #inputs = new Map<string, string>();

  constructor(parts: ActionParts) {
    this.#parts = parts;
  }

  async invoke(): Promise<void> {
    const { api, keys, screen } = this.#parts;
    const chosen = await this.#choose("invoke");
    if (!chosen) return;
    const before = this.#inputs.get(chosen.name) ?? (await sampleEvent(chosen.folder));
    const asked = await keys().ask(
      `input of ${chosen.name} [${before.length > 60 ? `${before.slice(0, 60)}…` : before}]: `,
    );
    if (asked === undefined) return;
    const input = asked.trim() === "" ? before : asked;
    this.#inputs.set(chosen.name, input);
    try {
      const path = `/2015-03-31/functions/${encodeURIComponent(chosen.name)}/invocations`;
      const answer = await api.raw("POST", path, {
        upload: Buffer.from(input),
        headers: { "content-type": "application/octet-stream" },
        silenceMsMax: SILENCE_MS_MAX,
      });
      const chunks: Uint8Array[] = [];
      for await (const chunk of answer.body) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      const isError = answer.headers["x-amz-function-error"] !== undefined;
      screen.say(isError ? errorOf(text) : text.slice(0, ANSWER_LENGTH_MAX), isError ? "red" : "green");
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      screen.say(error.message, "red");
    }
  }

  async open(): Promise<void> {
    const { screen } = this.#parts;
    const chosen = await this.#choose("open");
    const url = chosen && this.#parts.url(chosen.name);
    if (url === undefined) return;
    const opener = process.platform === "darwin" ? "open" : "xdg-open";
    const child = spawn(opener, [url], { stdio: "ignore", detached: true });
    child.once("error", () =>
      screen.say(`no browser can be opened from here (${opener} is missing): ${url}`),
    );
    child.once("spawn", () => screen.say(`opening ${url}`, "dim"));
    child.unref();
  }

  async #choose(what: string): Promise<{ readonly name: string; readonly folder: string } | undefined> {
    const { keys, screen } = this.#parts;
    const live = this.#parts.live().slice(0, CHOICES_MAX);
    if (live.length < 2) {
      if (live.length === 0) screen.say("nothing is live yet", "yellow");
      return live[0];
    }
    const byDefault = live.find(({ name }) => name === this.#last) ?? live[0];
    screen.say(live.map(({ name }, index) => `${index + 1} ${name}`).join("   "));
    await screen.idle();
    const asked = await keys().ask(`${what} which? [${byDefault?.name}]: `);
    if (asked === undefined) return undefined;
    const word = asked.trim();
    const chosen =
      word === "" ? byDefault : live.find(({ name }, index) => name === word || String(index + 1) === word);
    if (!chosen) screen.say(`there is no ${JSON.stringify(word)}`, "yellow");
    this.#last = chosen?.name ?? this.#last;
    return chosen;
  }
}

/** The log has the rest. */
function errorOf(text: string): string {
  try {
    const { errorType = "Error", errorMessage = "" } = JSON.parse(text);
    return `${errorType}: ${errorMessage}`;
  } catch {
    // Not every runtime reports errors as JSON.
    return text.slice(0, ANSWER_LENGTH_MAX);
  }
}

/** `event.json` in the function's folder, or the first of `events/`; else an empty object. */
async function sampleEvent(folder: string): Promise<string> {
  const [first] = (await readdir(join(folder, "events")).catch(() => []))
    .filter((name) => name.endsWith(".json"))
    .sort();
  for (const file of ["event.json", ...(first === undefined ? [] : [join("events", first)])]) {
    const text = await readFile(join(folder, file), "utf8").catch(() => undefined);
    if (text !== undefined) return text.trim();
  }
  return "{}";
}
