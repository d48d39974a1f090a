/** What functions say that they do, kept by the test itself, which nobody kills. */
import { once } from "node:events";
import { createServer } from "node:http";
import { makeFolder } from "../e2e/daemon.fake.ts";

export interface Effects extends AsyncDisposable {
  /** Of each message that was begun, how often, by its number. */
  readonly begun: ReadonlyMap<number, number>;
  /** Of each message that was done, how often, by its number. */
  readonly done: ReadonlyMap<number, number>;
  /** Numbers in the order in which they were done. */
  readonly order: readonly number[];
  /** A folder with a function that tells them. */
  readonly folder: string;
  /** What the function is told when it begins a message: `""` goes on, `fail` names it, `throw`, `crash`. */
  answer: (number: number, times: number) => string;
}

/** How often messages were done more often than once. */
export function repeatedIn({ done }: Effects): number {
  return [...done.values()].reduce((sum, times) => sum + times - 1, 0);
}

export async function startEffects(options: { readonly workMs?: number } = {}): Promise<Effects> {
  const begun = new Map<number, number>();
  const done = new Map<number, number>();
  const order: number[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://effects");
    const number = Number(url.searchParams.get("n"));
    const isBegin = url.pathname === "/begin";
    const counts = isBegin ? begun : done;
    counts.set(number, (counts.get(number) ?? 0) + 1);
    if (!isBegin) order.push(number);
    response.end(isBegin ? effects.answer(number, begun.get(number) ?? 0) : "");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const folder = makeFolder({
    "index.mjs": `
const tell = async (what, n) => (await fetch("http://127.0.0.1:${port}/" + what + "?n=" + n)).text();
export const handler = async (event) => {
  const batchItemFailures = [];
  for (const record of event.Records) {
    const body = record.body ?? Buffer.from(record.data, "base64").toString();
    const { n } = JSON.parse(body);
    const answer = await tell("begin", n);
    if (answer === "throw") throw new Error("told to");
    if (answer === "crash") process.exit(1);
    await new Promise((resolve) => setTimeout(resolve, ${options.workMs ?? 0}));
    if (answer === "fail") batchItemFailures.push({ itemIdentifier: record.messageId });
    else await tell("done", n);
  }
  return { batchItemFailures };
};`,
  });
  const effects: Effects = {
    begun,
    done,
    order,
    folder: folder.path,
    answer: () => "",
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      folder[Symbol.dispose]();
    },
  };
  return effects;
}

/** Bodies of messages with these numbers. */
export function bodies(from: number, count: number, more: Readonly<Record<string, unknown>> = {}): string[] {
  return Array.from({ length: count }, (_, index) => JSON.stringify({ n: from + index, ...more }));
}
