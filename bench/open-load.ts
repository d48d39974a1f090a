/**
 * An open-loop load generator: requests have their times before the first is sent, and a latency counts from there. When
 * answers are late, the next requests wait behind them in the figures too, as they would for callers who know nothing of each
 * other; a closed loop (load.ts) would send less and hide that. A process of its own, with a bare parser.
 *
 *   node bench/open-load.ts '{"port":1,"hostHeader":"a.localhost","path":"/","perSecond":500,"seconds":3,"warmUp":1}'
 */
import { connect, type Socket } from "node:net";

export interface OpenLoad {
  readonly port: number;
  readonly hostHeader: string;
  readonly path: string;
  readonly perSecond: number;
  readonly seconds: number;
  /** Seconds before counting begins. */
  readonly warmUp: number;
  /** As many requests may be unanswered at once; beyond, they wait for a connection, and that counts. */
  readonly connectionsMax?: number;
  /**
   * Answers have a number, which must not be lower than the last that came as a line on stdin before their request was sent.
   * The line `stop` ends it.
   */
  readonly tellsStale?: boolean;
}

export interface OpenResult {
  readonly requests: number;
  readonly failed: number;
  /** Answers of an older version than the one that was announced before their request was sent. */
  readonly stale: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** µs at rising quantiles, for a plot. */
  readonly distribution: readonly (readonly [quantile: number, us: number])[];
  /** How late the generator itself was in sending, p99: what it could not tell apart from the server. */
  readonly lateUs: number;
}

const CONNECTIONS_MAX = 256;
const HEAD_END = "\r\n\r\n";

interface Waiting {
  readonly dueAt: number;
  /** The least that the answer may be, where versions are counted. */
  readonly versionMin: number;
}

export async function runOpenLoad(load: OpenLoad): Promise<OpenResult> {
  const request = `GET ${load.path} HTTP/1.1\r\nHost: ${load.hostHeader}\r\n\r\n`;
  const took: number[] = [];
  const late: number[] = [];
  const free: Socket[] = [];
  const queue: { dueAt: number }[] = [];
  let connections = 0;
  let open = 0;
  let failed = 0;
  let stale = 0;
  let version = 0;
  if (load.tellsStale) {
    process.stdin.setEncoding("utf8").on("data", (text: string) => {
      const last = text.trim().split("\n").at(-1);
      if (last === "stop") total = sent;
      else version = Number(last);
    });
  }
  const startAt = performance.now() + 50;
  const countFrom = startAt + load.warmUp * 1_000;
  let total = Math.round((load.warmUp + load.seconds) * load.perSecond);
  let sent = 0;
  const done = Promise.withResolvers<void>();

  const answered = (waiting: Waiting, status: string, body: string) => {
    open -= 1;
    if (waiting.dueAt >= countFrom) {
      took.push(performance.now() - waiting.dueAt);
      if (status !== "200") failed += 1;
      else if (load.tellsStale && Number(/\d+/.exec(body)?.[0] ?? -1) < waiting.versionMin) stale += 1;
    }
    if (sent >= total && open === 0 && queue.length === 0) done.resolve();
  };
  const send = (socket: Socket, dueAt: number) => {
    if (dueAt >= countFrom) late.push(Math.max(0, performance.now() - dueAt));
    socket.emit("begin", { dueAt, versionMin: version } satisfies Waiting);
    socket.write(request);
  };
  const openSocket = (first: number) => {
    connections += 1;
    const socket = connect({ host: "127.0.0.1", port: load.port, noDelay: true });
    let waiting: Waiting | undefined;
    let text = "";
    socket.setEncoding("latin1");
    socket.on("begin", (next: Waiting) => {
      waiting = next;
    });
    socket.on("connect", () => send(socket, first));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      connections -= 1;
      const at = free.indexOf(socket);
      if (at >= 0) free.splice(at, 1);
      const lost = waiting;
      waiting = undefined;
      if (lost) answered(lost, "lost", "");
    });
    socket.on("data", (chunk: string) => {
      text += chunk;
      const length = answerLength(text);
      if (length === undefined || text.length < length || !waiting) return;
      const over = waiting;
      const [status, body] = [text.slice(9, 12), text.slice(0, length)];
      waiting = undefined;
      text = text.slice(length);
      const next = queue.shift();
      if (next) send(socket, next.dueAt);
      else free.push(socket);
      answered(over, status, body.slice(body.indexOf(HEAD_END) + 4));
    });
  };

  const tick = () => {
    const now = performance.now();
    while (sent < total && startAt + (sent * 1_000) / load.perSecond <= now) {
      const dueAt = startAt + (sent * 1_000) / load.perSecond;
      sent += 1;
      open += 1;
      const socket = free.pop();
      if (socket) send(socket, dueAt);
      else if (connections < (load.connectionsMax ?? CONNECTIONS_MAX)) openSocket(dueAt);
      else queue.push({ dueAt });
    }
    if (sent >= total && open === 0) done.resolve();
    if (sent < total) {
      const nextAt = startAt + (sent * 1_000) / load.perSecond;
      // A timer is a millisecond too late; the last of it is spent waiting for the turn.
      if (nextAt - performance.now() > 2) setTimeout(tick, 1);
      else setImmediate(tick);
    }
  };
  tick();
  await done.promise;
  for (const socket of free) socket.destroy();
  process.stdin.destroy();
  return summarise(took, late, { failed, stale });
}

function summarise(took: number[], late: number[], counts: { failed: number; stale: number }): OpenResult {
  took.sort((a, b) => a - b);
  late.sort((a, b) => a - b);
  const at = (values: readonly number[], share: number) =>
    (values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0) * 1_000;
  const quantiles = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999];
  return {
    requests: took.length,
    ...counts,
    p50Us: at(took, 0.5),
    p99Us: at(took, 0.99),
    distribution: quantiles.map((share) => [share, at(took, share)] as const),
    lateUs: at(late, 0.99),
  };
}

/** Characters of the answer that `text` begins with; undefined while its head is not complete. */
function answerLength(text: string): number | undefined {
  const headEnd = text.indexOf(HEAD_END);
  if (headEnd < 0) return undefined;
  const head = text.slice(0, headEnd).toLowerCase();
  const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1];
  if (length !== undefined) return headEnd + 4 + Number(length);
  const lastChunk = text.indexOf("\r\n0\r\n\r\n", headEnd);
  return lastChunk < 0 ? undefined : lastChunk + 7;
}

if (process.argv[1] === import.meta.filename) {
  const result = await runOpenLoad(JSON.parse(process.argv[2] ?? "{}"));
  process.stdout.write(`${JSON.stringify(result)}\n`);
  process.exit(0);
}
