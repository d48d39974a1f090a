/**
 * One extension's telemetry: gathered, then sent into the sandbox when there is enough of it or it has waited long
 * enough, in order and one batch at a time. A receiver that does not take it is tried again until the buffer is full;
 * what then comes is dropped, and the extension is told how much.
 */
import { request } from "node:http";
import type { Duplex } from "node:stream";
import { type TelemetryEvent, telemetryText } from "../../core/telemetry.ts";
import type { TelemetrySubscription } from "./telemetry-subscription.ts";

/** So many times `bytesMax` may wait. */
const BACKLOG_FACTOR = 4;
const RETRY_MS = 100;
const SEND_MS_MAX = 5_000;

export type Connect = (port: number) => Promise<Duplex>;

export class TelemetryDelivery implements Disposable {
  readonly subscription: TelemetrySubscription;
  readonly #connect: Connect;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #droppedRecords = 0;
  #droppedBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #isClosed = false;
  #tcp: Duplex | undefined;

  constructor(subscription: TelemetrySubscription, connect: Connect) {
    this.subscription = subscription;
    this.#connect = connect;
  }

  add(event: TelemetryEvent): void {
    if (this.#isClosed) return;
    const text = telemetryText(event);
    const { bytesMax, itemsMax, timeoutMs } = this.subscription;
    if (this.#waitingBytes + text.length > bytesMax * BACKLOG_FACTOR) {
      this.#droppedRecords += 1;
      this.#droppedBytes += text.length;
      return;
    }
    this.#waiting.push(text);
    this.#waitingBytes += text.length;
    if (this.#waiting.length >= itemsMax || this.#waitingBytes >= bytesMax) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), timeoutMs);
  }

  /** Sends all there is. Resolves when it was taken, or when it could not be delivered by now. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
    await this.#sending;
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#tcp?.destroy();
    this.#waiting = [];
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#isClosed) {
      this.#confessDropped();
      const batch = this.#takeBatch();
      try {
        await this.#send(batch);
      } catch {
        // It may not listen yet, or never will: its own affair, which the function must not feel.
        if (this.#isClosed) return;
        this.#waiting.unshift(...batch);
        this.#waitingBytes += batch.reduce((sum, text) => sum + text.length, 0);
        this.#timer ??= setTimeout(() => void this.flush(), RETRY_MS);
        return;
      }
    }
  }

  #confessDropped(): void {
    if (this.#droppedRecords === 0) return;
    const record = {
      reason: "Consumer seems to have fallen behind as it has not acknowledged receipt of logs.",
      droppedRecords: this.#droppedRecords,
      droppedBytes: this.#droppedBytes,
    };
    this.#droppedRecords = 0;
    this.#droppedBytes = 0;
    const text = telemetryText({ at: Date.now(), type: "platform.logsDropped", record });
    this.#waiting.push(text);
    this.#waitingBytes += text.length;
  }

  #takeBatch(): string[] {
    const { itemsMax, bytesMax } = this.subscription;
    let count = 0;
    let bytes = 0;
    for (const text of this.#waiting) {
      if (count >= itemsMax || (count > 0 && bytes + text.length > bytesMax)) break;
      count += 1;
      bytes += text.length;
    }
    this.#waitingBytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  async #send(batch: readonly string[]): Promise<void> {
    const { destination } = this.subscription;
    if (destination.protocol === "TCP") {
      this.#tcp ??= await this.#openTcp(destination.port);
      await written(this.#tcp, batch.map((text) => `${text}\n`).join(""));
      return;
    }
    const socket = await this.#connect(destination.port);
    await post(socket, destination, `[${batch.join(",")}]`);
  }

  async #openTcp(port: number): Promise<Duplex> {
    const socket = await this.#connect(port);
    socket.resume();
    const forget = () => {
      this.#tcp = undefined;
      socket.destroy();
    };
    socket.on("error", forget);
    socket.on("close", forget);
    return socket;
  }
}

async function written(socket: Duplex, text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the receiver does not read")), SEND_MS_MAX);
    socket.once("close", () => reject(new Error("the receiver has closed")));
    socket.write(text, (error) => {
      clearTimeout(timer);
      if (error) reject(error);
      else resolve();
    });
  });
}

async function post(
  socket: Duplex,
  to: { readonly method: string; readonly path: string; readonly port: number },
  body: string,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const sent = request({
      createConnection: () => socket,
      method: to.method,
      path: to.path,
      headers: {
        Host: `sandbox.localdomain:${to.port}`,
        "Content-Type": "application/json",
        "Content-Length": Buffer.byteLength(body),
        Connection: "close",
      },
      signal: AbortSignal.timeout(SEND_MS_MAX),
    });
    sent.once("error", reject);
    sent.once("response", (response) => {
      response.resume();
      response.once("error", reject);
      // What the receiver thinks of it is its own affair: it has it.
      response.once("close", resolve);
    });
    sent.end(body);
  });
}
