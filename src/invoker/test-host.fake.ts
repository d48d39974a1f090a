import { PassThrough } from "node:stream";
import { systemClock } from "../core/clock.ts";
import { type FunctionConfig, type FunctionRecord, TEXT_LOGGING, type Version } from "../core/function.ts";
import { SETTINGS_DEFAULT } from "../core/function-settings.ts";
import { type InvocationId, newInvocationId, parseFunctionName } from "../core/ids.ts";
import type { Call, InvocationOutcome, SandboxExit } from "../core/invocation.ts";
import { silentLog } from "../core/log.ts";
import { type Channel, InitFailed, NotBegun } from "../protocol/protocol.ts";
import type { InvocationFacts, LogStream, Records } from "../records/records.ts";
import type { Target } from "../registry/target.ts";
import type { Driver, Sandbox, SandboxSpec } from "../sandbox/driver.ts";
import type { InvocationRequest } from "./invocations.ts";
import { Invoker } from "./invoker.ts";

/** What a fake program does: how it starts, and what it answers. */
export interface FakeProgram {
  /** Rejecting is an init error; never resolving is a start without end. */
  readonly start?: (sandbox: FakeSandbox) => Promise<void> | void;
  readonly answer: (call: Call, sandbox: FakeSandbox) => Promise<InvocationOutcome> | InvocationOutcome;
  readonly idle?: () => Promise<void>;
  /** What its sandbox waits for before it is gone. */
  readonly stop?: (sandbox: FakeSandbox) => Promise<void>;
  /** Calls that it takes while it serves one; it begins them in order. */
  readonly aheadMax?: number;
}

export interface FakeSandbox {
  readonly number: number;
  readonly stdout: PassThrough;
  exit(exit?: Partial<SandboxExit>): void;
}

/** An invoker over programs that are functions of the test; nothing is isolated, nothing is started. */
export function openTestHost(
  program: FakeProgram,
  policy: { initMsMax?: number; instancesMax?: number; idleMsMax?: number; freezeAfterMs?: number } = {},
) {
  let started = 0;
  const alive = new Set<number>();
  const frozen = new Set<number>();
  let hasFrozen: (() => void) | undefined;
  const lines: {
    readonly invocationId: string | undefined;
    readonly stream: LogStream;
    readonly text: string;
  }[] = [];
  const ended: string[] = [];
  /** What each instance may call this server with. */
  const grants: { areValid: boolean }[] = [];

  const records: Records = {
    begin: (facts: InvocationFacts) => ({
      line: (stream, text) => lines.push({ invocationId: facts.invocationId, stream, text }),
      end: (result) => ended.push(`${result.outcome}${result.errorType ? ` ${result.errorType}` : ""}`),
      tail: () => `tail of ${facts.invocationId}`,
    }),
    line: (_, stream, text) => lines.push({ invocationId: undefined, stream, text }),
    async *read() {},
    expire: async () => undefined,
    forget: async () => undefined,
    flush: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };

  const driver: Driver = {
    name: "fake",
    isolation: async () => ({ isIsolated: false, gaps: [] }),
    async start(spec: SandboxSpec, { signal }: { readonly signal: AbortSignal }) {
      signal.throwIfAborted();
      return startSandbox(spec);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };

  const fakes = new Map<string, FakeSandbox>();
  function startSandbox(spec: SandboxSpec): Sandbox {
    const number = ++started;
    alive.add(number);
    const exited = Promise.withResolvers<SandboxExit>();
    const streams = { stdout: new PassThrough(), stderr: new PassThrough(), telemetry: new PassThrough() };
    const exit = (exit: Partial<SandboxExit> = {}) => {
      alive.delete(number);
      for (const stream of Object.values(streams)) stream.end();
      exited.resolve({ exitCode: 0, signal: null, outOfMemory: false, ...exit });
    };
    const fake = { number, stdout: streams.stdout, exit };
    fakes.set(spec.id, fake);
    return {
      id: spec.id,
      places: {
        codeDir: "",
        runtimeDir: "",
        socketDir: "",
        tmpDir: "",
        runtimeApi: undefined,
        port: undefined,
      },
      socketDir: "",
      ...streams,
      stdin: undefined,
      exited: exited.promise,
      freezer: {
        freeze: () => {
          frozen.add(number);
          hasFrozen?.();
        },
        thaw: () => frozen.delete(number),
      },
      memoryPeakMib: () => 0,
      memoryUsedMib: () => 0,
      connect: () => Promise.reject(new Error("a fake has no port")),
      [Symbol.asyncDispose]: async () => {
        await program.stop?.(fake);
        exit({ exitCode: null, signal: "SIGKILL" });
      },
    };
  }

  function openChannel(): Channel {
    const ready = Promise.withResolvers<void>();
    const line = newLine();
    let fake: FakeSandbox | undefined;
    return {
      hasInput: false,
      hasPort: false,
      onRuntimeApiConnection: undefined,
      isReusable: true,
      ready: ready.promise,
      launch: (_, environment) => ({ command: ["fake"], environment, workingDir: "/" }),
      attach(sandbox) {
        fake = fakes.get(sandbox.id);
        if (fake)
          Promise.resolve(fake)
            .then((f) => program.start?.(f))
            .then(ready.resolve, ready.reject);
      },
      ...(program.aheadMax !== undefined && { aheadMax: program.aheadMax }),
      invoke: async (call, { signal, begun }) => {
        if (program.aheadMax !== undefined) await line.turn(call.invocationId, signal);
        begun?.();
        try {
          return await program.answer(call, fake as FakeSandbox);
        } finally {
          line.over();
        }
      },
      recall: (invocationId) => line.recall(invocationId),
      idle: async () => await program.idle?.(),
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  const invoker = new Invoker({
    driver,
    depot: { openTree: async () => "/code" },
    resolveRuntime: async () => ({ interpreter: undefined, runtimeDir: undefined, toolDirs: [] }),
    adapterOf: async () => ({ open: openChannel }),
    records,
    identity: { accountId: "000000000000", region: "us-east-1" },
    clock: systemClock,
    policy: {
      instancesMax: policy.instancesMax ?? 100,
      idleMsMax: policy.idleMsMax ?? 60_000,
      freezeAfterMs: policy.freezeAfterMs,
    },
    grants: {
      issue: async () => {
        const credentials = { areValid: true };
        grants.push(credentials);
        return { environment: {}, revoke: () => (credentials.areValid = false) };
      },
    },
    log: silentLog,
    ...(policy.initMsMax !== undefined && { initMsMax: policy.initMsMax }),
  });

  return {
    invoker,
    lines,
    ended,
    alive,
    frozen,
    grants,
    /** Resolves when so many stand still. */
    async untilFrozen(count: number): Promise<void> {
      while (frozen.size < count) await new Promise<void>((resolve) => (hasFrozen = resolve));
    },
    get started() {
      return started;
    },
  };
}

/** Lets one call in at a time, in order. */
function newLine() {
  let isBusy = false;
  const waiting: { readonly id: string; enter(): void; refuse(error: unknown): void }[] = [];
  return {
    turn: (id: string, signal: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        if (isBusy) waiting.push({ id, enter: resolve, refuse: reject });
        else resolve();
        isBusy = true;
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
    over() {
      const next = waiting.shift();
      if (next) next.enter();
      else isBusy = false;
    },
    recall(id: string) {
      const at = waiting.findIndex((one) => one.id === id);
      for (const one of waiting.splice(at, at < 0 ? 0 : 1)) one.refuse(new NotBegun());
    },
  };
}

export function returned(text: string): InvocationOutcome {
  return { kind: "returned", payload: new TextEncoder().encode(text), head: undefined, isStreamed: false };
}

export function initFailed(errorType: string): InitFailed {
  return new InitFailed(new TextEncoder().encode(JSON.stringify({ errorType })), errorType);
}

export function targetOf(
  options: Partial<FunctionConfig> & { name?: string; revision?: string; concurrencyMax?: number } = {},
): Target {
  const functionName = parseFunctionName(options.name ?? "greet");
  if (!functionName) throw new Error("bad test name");
  const { name: _, revision = "r1", concurrencyMax, ...config } = options;
  const version: Version = {
    functionName,
    label: "$LATEST",
    revisionId: revision,
    code: { treeId: "t", archiveSha256: "a", archiveBytes: 1, treeBytes: 1 },
    modifiedAt: 0,
    config: {
      runtime: "nodejs24.x",
      entry: { kind: "handler", handler: "index.handler" },
      description: "",
      memoryMib: 128,
      timeoutMs: 3_000,
      tmpMib: 512,
      environment: {},
      network: "host",
      slotsPerInstance: 1,
      architecture: "x86_64",
      role: "",
      layers: [],
      optTreeId: undefined,
      logging: TEXT_LOGGING,
      ...config,
    },
  };
  const record: FunctionRecord = {
    name: functionName,
    generation: 1,
    createdAt: 0,
    latest: version,
    liveVersion: 1,
    nextVersion: 2,
    aliases: [],
    urls: [],
    eventInvokeConfigs: [],
    concurrencyMax,
    tags: {},
    settings: SETTINGS_DEFAULT,
  };
  return { record, version, qualifier: undefined };
}

export function requestOf(text = "{}", invocationId: InvocationId = newInvocationId()): InvocationRequest {
  return {
    invocationId,
    input: { kind: "event", payload: new TextEncoder().encode(text), contentType: "application/json" },
    traceId: undefined,
    clientContext: undefined,
    wantsTail: false,
    sink: undefined,
  };
}

/** A gate that calls wait at until the test opens it. */
export function newGate(): Gate {
  const opened = Promise.withResolvers<void>();
  let waiting = 0;
  let notify: (() => void) | undefined;
  return {
    async pass(): Promise<InvocationOutcome> {
      waiting += 1;
      notify?.();
      await opened.promise;
      return returned("passed");
    },
    open: () => opened.resolve(),
    async untilWaiting(count: number): Promise<void> {
      while (waiting < count) await new Promise<void>((resolve) => (notify = resolve));
    },
  };
}

export interface Gate {
  pass(): Promise<InvocationOutcome>;
  open(): void;
  untilWaiting(count: number): Promise<void>;
}
