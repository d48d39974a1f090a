/** A daemon in a folder of its own, spoken to by the official SDK, for tests of what runs inside sandboxes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { createInterface } from "node:readline";
import {
  CreateFunctionCommand,
  type CreateFunctionCommandInput,
  InvokeCommand,
  LambdaClient,
  PublishLayerVersionCommand,
} from "@aws-sdk/client-lambda";
import { ZipFile } from "yazl";

const ROOT = join(import.meta.dirname, "../..");
const ROLE = "arn:aws:iam::123456789012:role/service";

/** Content by path; programs are those with an interpreter line, or as bytes. */
export type Files = Readonly<Record<string, string | Buffer>>;

export type Settings = Omit<Partial<CreateFunctionCommandInput>, "Layers"> & {
  readonly Layers?: readonly string[];
};

export interface Invoked {
  /** Parsed, where it is JSON. */
  readonly result: unknown;
  readonly functionError: string | undefined;
  readonly log: string;
}

export interface TestDaemon extends AsyncDisposable {
  readonly sdk: LambdaClient;
  /** Creates a function; gives its name. */
  create(name: string, files: Files, settings: Settings): Promise<string>;
  /** Publishes a layer; gives the ARN of its version. */
  publish(name: string, files: Files): Promise<string>;
  invoke(name: string, event?: unknown): Promise<Invoked>;
  /** All lines of a function's log. */
  log(name: string): Promise<readonly string[]>;
}

export async function startDaemon(args: readonly string[] = []): Promise<TestDaemon> {
  const dir = await mkdtemp(join(tmpdir(), "aws-runtimes-"));
  const daemon = spawn(
    join(ROOT, "bin/lambdad"),
    ["--data", dir, "--gateway", "127.0.0.1:0", "--control", "127.0.0.1:0", ...args],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const gone = once(daemon, "exit");
  const control = await readyLine(daemon.stdout);
  daemon.stdout.resume();
  const [accessKeyId = "", secretAccessKey = ""] = (await readFile(join(dir, "admin.key"), "utf8"))
    .trim()
    .split(".");
  const sdk = new LambdaClient({
    endpoint: control,
    region: "us-east-1",
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
  });
  return {
    sdk,
    async create(FunctionName, files, { Layers, ...settings }) {
      await sdk.send(
        new CreateFunctionCommand({
          FunctionName,
          Role: ROLE,
          Runtime: "nodejs24.x",
          Handler: "index.handler",
          Timeout: 10,
          MemorySize: 256,
          Code: { ZipFile: await zipOf(files) },
          ...settings,
          ...(Layers && { Layers: [...Layers] }),
        }),
      );
      return FunctionName;
    },
    async publish(LayerName, files) {
      const content = { ZipFile: await zipOf(files) };
      const made = await sdk.send(new PublishLayerVersionCommand({ LayerName, Content: content }));
      return made.LayerVersionArn ?? "";
    },
    async invoke(FunctionName, event = {}) {
      const answer = await sdk.send(
        new InvokeCommand({ FunctionName, LogType: "Tail", Payload: Buffer.from(JSON.stringify(event)) }),
      );
      const text = Buffer.from(answer.Payload ?? []).toString();
      return {
        result: parsed(text),
        functionError: answer.FunctionError,
        log: Buffer.from(answer.LogResult ?? "", "base64").toString(),
      };
    },
    async log(name) {
      const answer = await fetch(`${control}/v1/functions/${name}/logs`, {
        headers: { authorization: `Bearer ${accessKeyId}.${secretAccessKey}` },
      });
      const lines = (await answer.text()).split("\n").filter((line) => line !== "");
      return lines.map((line) => String(Object(JSON.parse(line)).text));
    },
    async [Symbol.asyncDispose]() {
      sdk.destroy();
      daemon.kill("SIGTERM");
      await gone;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function readyLine(stdout: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: stdout })) {
    const control = /^ready .*control=(\S+)/.exec(line)?.[1];
    if (control !== undefined) return control;
  }
  throw new Error("the daemon ended before it was ready");
}

/** All files below a folder. */
export async function filesIn(folder: string): Promise<Files> {
  const files: Record<string, Buffer> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files[relative(folder, path)] = await readFile(path);
  }
  return files;
}

async function zipOf(files: Files): Promise<Buffer> {
  const zip = new ZipFile();
  for (const [path, content] of Object.entries(files)) {
    const bytes = Buffer.from(content);
    const isProgram = bytes.subarray(0, 2).toString() === "#!" || bytes.subarray(1, 4).toString() === "ELF";
    zip.addBuffer(bytes, path, { mode: isProgram ? 0o100755 : 0o100644 });
  }
  zip.end();
  const chunks: Buffer[] = [];
  for await (const chunk of zip.outputStream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Resolves once `condition` holds; fails after ten seconds. */
export async function eventually(condition: () => Promise<boolean>): Promise<void> {
  const giveUpAt = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > giveUpAt) throw new Error(`never true: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
