/** Real servers of queues, as programs of their own: moto's SQS from PyPI, and Debian's nats-server. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, nanos } from "@nats-io/transport-node";
import { systemClock } from "../../src/core/clock.ts";
import { freePort } from "../../src/core/free-port.fake.ts";
import { newSqsClient } from "../../src/events/sqs/sqs-client.ts";

const MOTO = "5.2.5";
const PYTHON = ["/usr/bin/python3", "python3"].find(
  (path) => spawnSync(path, ["-m", "pip", "-V"]).status === 0,
);

/** A folder with moto, installed by pip the first time; undefined where that cannot be. */
export function findMoto(): string | undefined {
  if (!PYTHON) return undefined;
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  const dir = join(cache, "lambdad-tests", `moto-${MOTO}`);
  if (existsSync(dir)) return dir;
  mkdirSync(join(cache, "lambdad-tests"), { recursive: true });
  const staging = mkdtempSync(join(cache, "lambdad-tests", "pip-"));
  const packages = [`moto==${MOTO}`, "flask==3.1.2", "flask-cors==6.0.1"];
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", staging];
  const installed = spawnSync(PYTHON, [...pip, ...packages], { stdio: "ignore", timeout: 600_000 });
  if (installed.status === 0) renameSync(staging, dir);
  else rmSync(staging, { recursive: true, force: true });
  return installed.status === 0 ? dir : undefined;
}

export const NATS = ["/usr/sbin/nats-server", "/usr/bin/nats-server"].find(existsSync);

interface Program extends AsyncDisposable {
  readonly port: number;
  /** Ends it at once, or stops and continues it. */
  signal(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again, on the same port and what it keeps, and waits until it answers. */
  restart(): Promise<void>;
  /** Lets it go on, and starts it again if it has gone. */
  revive(): Promise<void>;
}

async function startProgram(start: (port: number) => ChildProcess): Promise<Program> {
  const port = await freePort();
  let child: ChildProcess | undefined;
  const program: Program = {
    port,
    async signal(signal) {
      if (!child || !isRunning(child)) return;
      const gone = once(child, "exit");
      child.kill(signal);
      if (signal === "SIGSTOP" || signal === "SIGCONT") return;
      await gone;
    },
    async restart() {
      await program.signal("SIGKILL");
      for (let tries = 0; !(await answers(port)); tries += 1) {
        if (tries > 1_200) throw new Error(`nothing listens at ${port}`);
        // One that finds its port taken leaves again.
        if (!isRunning(child)) child = start(port);
        await sleep(100);
      }
    },
    async revive() {
      child?.kill("SIGCONT");
      if (!isRunning(child)) await program.restart();
    },
    [Symbol.asyncDispose]: async () => {
      child?.kill("SIGCONT");
      await program.signal("SIGKILL");
    },
  };
  await program.restart();
  return program;
}

function isRunning(child: ChildProcess | undefined): boolean {
  return child !== undefined && child.exitCode === null && child.signalCode === null;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

/** What a test does with a queue, whatever it speaks. */
export interface TestQueue extends AsyncDisposable {
  readonly program: Program;
  /** Flags of `lambda source create FUNCTION` for a queue that is made by that name. */
  make(name: string, options?: { readonly hiddenSeconds?: number }): Promise<readonly string[]>;
  send(name: string, bodies: readonly string[]): Promise<void>;
  /** How many messages are in it that were not removed. */
  count(name: string): Promise<number>;
}

export async function startSqs(moto: string): Promise<TestQueue> {
  const program = await startProgram((port) =>
    spawn(PYTHON ?? "", ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)], {
      stdio: "ignore",
      env: { PATH: process.env.PATH, PYTHONPATH: moto, HOME: tmpdir() },
    }),
  );
  const endpoint = `http://127.0.0.1:${program.port}`;
  const login = { accessKeyId: "123456789012", secret: "none" };
  const client = newSqsClient({ endpoint, region: "us-east-1", login }, systemClock);
  const never = { signal: new AbortController().signal };
  const url = (name: string) => `${endpoint}/123456789012/${name}`;
  const isFifo = (name: string) => name.endsWith(".fifo");
  return {
    program,
    async make(name, { hiddenSeconds = 10 } = {}) {
      const Attributes = {
        VisibilityTimeout: String(hiddenSeconds),
        ...(isFifo(name) && { FifoQueue: "true" }),
      };
      await client.call("CreateQueue", { QueueName: name, Attributes }, never);
      return ["--queue", `arn:aws:sqs:us-east-1:123456789012:${name}`, "--endpoint", endpoint];
    },
    async send(name, bodies) {
      for (let from = 0; from < bodies.length; from += 10) {
        const Entries = bodies.slice(from, from + 10).map((MessageBody, index) => ({
          Id: String(index),
          MessageBody,
          ...(isFifo(name) && { MessageGroupId: "g", MessageDeduplicationId: String(from + index) }),
        }));
        await client.call("SendMessageBatch", { QueueUrl: url(name), Entries }, never);
      }
    },
    async count(name) {
      const AttributeNames = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
      const asked = { QueueUrl: url(name), AttributeNames };
      const { Attributes } = await client.call("GetQueueAttributes", asked, never);
      return Object.values(Object(Attributes)).reduce<number>((sum, count) => sum + Number(count), 0);
    },
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await program[Symbol.asyncDispose]();
    },
  };
}

/** Files of a certificate for localhost and of who has signed it. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** With a certificate it speaks TLS and nothing else. */
export async function startNats(certificate?: Certificate): Promise<TestQueue> {
  const dir = mkdtempSync(join(tmpdir(), "lambdad-nats-"));
  const tls = certificate ? ["--tls", "--tlscert", certificate.cert, "--tlskey", certificate.key] : [];
  const program = await startProgram((port) =>
    spawn(NATS ?? "", ["-js", "-a", "127.0.0.1", "-p", String(port), "-sd", dir, ...tls], {
      stdio: "ignore",
    }),
  );
  // Certificates are for names.
  const servers = certificate ? `tls://localhost:${program.port}` : `nats://127.0.0.1:${program.port}`;
  const connection = await connect({
    servers,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    ...(certificate && { tls: { caFile: certificate.ca } }),
  }).catch(async (error: unknown) => {
    await program[Symbol.asyncDispose]();
    throw error;
  });
  const manager = await jetstreamManager(connection);
  const stream = jetstream(connection);
  return {
    program,
    async make(name, { hiddenSeconds = 3 } = {}) {
      await manager.streams.add({ name, subjects: [`${name}.>`] });
      // One that is there is used as it is; this one is quicker than those that are made.
      await manager.consumers.add(name, {
        durable_name: "test",
        ack_policy: "explicit",
        ack_wait: nanos(hiddenSeconds * 1_000),
      });
      return ["--nats", servers, "--stream", name, "--consumer", "test"];
    },
    async send(name, bodies) {
      for (const body of bodies) await stream.publish(`${name}.x`, body);
    },
    async count(name) {
      const { num_pending, num_ack_pending } = await manager.consumers.info(name, "test");
      return num_pending + num_ack_pending;
    },
    async [Symbol.asyncDispose]() {
      await connection.close();
      await program[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
