import { createInterface } from "node:readline";
import type { TerminalReadable, TerminalWritable } from "../host.ts";

/** Single keys of a terminal, and now and then a line. Does nothing where stdin is none. */
export interface DevKeys extends Disposable {
  /** Asks for one line; undefined if it was given up by Ctrl-C. */
  ask(question: string): Promise<string | undefined>;
}

export function openDevKeys(
  stdin: TerminalReadable,
  stdout: TerminalWritable,
  pressed: (key: string) => void,
): DevKeys {
  const setRaw = (isRaw: boolean) => {
    if ("setRawMode" in stdin && typeof stdin.setRawMode === "function") stdin.setRawMode(isRaw);
  };
  if (!stdin.isTTY) return { ask: async () => undefined, [Symbol.dispose]: () => undefined };

  // A paste, or an arrow key, comes as several characters at once: no key of ours.
  const onData = (bytes: Buffer | string) => {
    const text = String(bytes);
    if (text.length === 1) pressed(text);
  };
  const listen = () => {
    setRaw(true);
    stdin.on("data", onData);
    stdin.resume();
  };
  listen();
  return {
    async ask(question) {
      stdin.off("data", onData);
      const lines = createInterface({ input: stdin, output: stdout, terminal: true });
      const { promise, resolve } = Promise.withResolvers<string | undefined>();
      lines.once("SIGINT", () => resolve(undefined));
      lines.once("close", () => resolve(undefined));
      lines.question(question, resolve);
      const answer = await promise;
      lines.close();
      listen();
      return answer;
    },
    [Symbol.dispose]() {
      stdin.off("data", onData);
      setRaw(false);
      stdin.pause();
    },
  };
}
