/**
 * A closed-loop load generator: so many connections, each sends its next request when the last was answered. A process
 * of its own, so that it shares no event loop with what it measures; a bare parser, so that it costs little beside it.
 *
 *   node bench/load.ts '{"host":"127.0.0.1","port":1,"hostHeader":"a.localhost","path":"/","connections":1,"seconds":3}'
 */
import { connect } from "node:net";

export interface Load {
  readonly port: number;
  readonly hostHeader: string;
  readonly path: string;
  /** Lines that every request has beside its host. */
  readonly headers?: readonly string[];
  /** Answers with another status count as failed. */
  readonly status?: number;
  readonly anyStatus?: boolean;
  readonly connections: number;
  /** Pause before each next request of a connection; none if left out. */
  readonly pauseMs?: number;
  /** Of all connections together: each keeps times of its own, which are spread; it sends later only if its last answer is. */
  readonly perSecond?: number;
  readonly seconds: number;
  /** Seconds before counting begins. */
  readonly warmUp: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly failed: number;
  /** How late requests with times of their own were sent, p99: the generator's own delay, or an answer that came late. */
  readonly lateUs: number;
}

const NOTHING = Buffer.alloc(0);
const READ_BYTES = 64 * 1024;
const HEAD_END = "\r\n\r\n";
const LENGTH = /\r\ncontent-length: *(\d+)/i;
/** More than any head that is measured here. */
const HEAD_BYTES_MAX = 2 * 1024;

export function runLoad(load: Load): Promise<LoadResult> {
  const lines = [`Host: ${load.hostHeader}`, ...(load.headers ?? [])];
  const request = Buffer.from(`GET ${load.path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
  const status = String(load.status ?? 200);
  const took: number[] = [];
  const late: number[] = [];
  let failed = 0;
  const countFrom = performance.now() + load.warmUp * 1_000;
  const until = countFrom + load.seconds * 1_000;

  const everyMs = load.perSecond === undefined ? undefined : (load.connections * 1_000) / load.perSecond;
  const startAt = performance.now();

  const runOne = (_: unknown, index: number) =>
    new Promise<void>((resolve, reject) => {
      let sentAt = 0;
      let dueAt = startAt + ((everyMs ?? 0) * index) / load.connections;
      let rest: Buffer = NOTHING;
      const socket = connect({
        host: "127.0.0.1",
        port: load.port,
        noDelay: true,
        // One buffer for all that comes, which costs a fraction of a stream's reading.
        onread: {
          buffer: new Uint8Array(READ_BYTES),
          callback(bytes, buffer) {
            receive(Buffer.from(buffer.buffer, 0, bytes));
            return true;
          },
        },
      });
      const send = () => {
        sentAt = performance.now();
        if (everyMs !== undefined && sentAt >= countFrom) late.push(Math.max(0, sentAt - dueAt));
        socket.write(request);
      };
      const sendInTime = (ms: number) => {
        const now = performance.now();
        dueAt = Math.max(now, dueAt + ms);
        if (dueAt - now < 1) send();
        else setTimeout(send, dueAt - now);
      };
      if (everyMs === undefined) socket.on("connect", send);
      else socket.on("connect", () => sendInTime(0));
      socket.on("error", reject);
      const receive = (chunk: Buffer) => {
        const received = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        const length = answerLength(received);
        rest = NOTHING;
        if (length === undefined || received.length < length) {
          // The next bytes take the place of these.
          rest = Buffer.from(received);
          return;
        }
        if (!load.anyStatus && received.toString("latin1", 9, 12) !== status) failed += 1;
        if (received.length > length) rest = Buffer.from(received.subarray(length));
        const now = performance.now();
        if (now >= countFrom && now < until) took.push(now - sentAt);
        if (now >= until) {
          socket.destroy();
          resolve();
        } else if (everyMs !== undefined) sendInTime(everyMs);
        else if (load.pauseMs) setTimeout(send, load.pauseMs);
        else send();
      };
    });

  return Promise.all(Array.from({ length: load.connections }, runOne)).then(() => {
    const at = (values: readonly number[], share: number) =>
      (values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0) * 1_000;
    for (const values of [took, late]) values.sort((a, b) => a - b);
    return {
      requests: took.length,
      perSecond: took.length / load.seconds,
      p50Us: at(took, 0.5),
      p99Us: at(took, 0.99),
      failed,
      lateUs: at(late, 0.99),
    };
  });
}

/** Bytes of the answer that `bytes` begins with; undefined while its head is not complete. */
function answerLength(bytes: Buffer): number | undefined {
  const text = bytes.toString("latin1", 0, Math.min(bytes.length, HEAD_BYTES_MAX));
  const headEnd = text.indexOf(HEAD_END);
  if (headEnd < 0) return undefined;
  const length = LENGTH.exec(text.slice(0, headEnd))?.[1];
  if (length !== undefined) return headEnd + 4 + Number(length);
  const lastChunk = bytes.indexOf("\r\n0\r\n\r\n", headEnd);
  return lastChunk < 0 ? undefined : lastChunk + 7;
}

if (process.argv[1] === import.meta.filename) {
  const result = await runLoad(JSON.parse(process.argv[2] ?? "{}"));
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
