/** Recordings of our own API: whether a function is recorded, what there is, and running it again. */
import { isUtf8 } from "node:buffer";
import { PlatformError } from "../../../core/errors.ts";
import { type FunctionName, type InvocationId, parseInvocationId } from "../../../core/ids.ts";
import type { ComparedOutcome } from "../../../core/outcome-diff.ts";
import type { RecordedInput, Recording, RecordingFacts, RecordingSettings } from "../../../core/recording.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, type Handler, jsonReply, type Reply } from "../route.ts";
import { nameOf } from "./named-function.ts";
import { parsePutRecording, parseRecordingQuery, parseReplay } from "./recording-wire.ts";
import type { V1Name } from "./routes.ts";

export type RecordingOperation = Extract<V1Name, `${string}Recording${string}`>;

export function recordingHandlers(parts: ControlParts): Readonly<Record<RecordingOperation, Handler>> {
  const { functions, recordings } = parts;
  return {
    getRecordingSettings: async (request) => await settingsReply(parts, nameOf(request)),
    async putRecordingSettings(request) {
      const name = nameOf(request);
      await functions.changeSettings(name, ({ settings }) => ({
        ...settings,
        recording: parsePutRecording(request.json, settings.recording),
      }));
      return await settingsReply(parts, name);
    },
    async deleteRecordingSettings(request) {
      const name = nameOf(request);
      await functions.changeSettings(name, ({ settings }) =>
        settings.recording?.isOn
          ? { ...settings, recording: { ...settings.recording, isOn: false } }
          : settings,
      );
      return await settingsReply(parts, name);
    },
    async listRecordings(request) {
      const name = nameOf(request);
      const query = parseRecordingQuery(request.query);
      await functions.get(name);
      const page = await recordings.list(name, query);
      return jsonReply(200, { recordings: page.recordings.map(factsShape), next: page.next });
    },
    async deleteRecordings(request) {
      const name = nameOf(request);
      await functions.get(name);
      await recordings.forget(name);
      return emptyReply(204);
    },
    async findRecording(request) {
      const id = idIn(request);
      const found = await recordings.search(id, (name) => request.caller.mayUse(name));
      if (!found) throw notFound(id, undefined);
      return jsonReply(200, recordingShape(found));
    },
    getRecording: async (request) => jsonReply(200, recordingShape(await recordingOf(parts, request))),
    async deleteRecording(request) {
      const name = nameOf(request);
      const id = idIn(request);
      await functions.get(name);
      if ((await recordings.remove(name, id)) === 0) throw notFound(id, name);
      return emptyReply(204);
    },
    replayRecording: async (request) => await replayReply(parts, request),
  };
}

async function replayReply(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { version, ignored } = parseReplay(request.json);
  const recording = await recordingOf(parts, request);
  const target = await parts.functions.resolve(recording.functionName, version);
  const replayed = await parts.replay(recording, target, { ignored, signal: request.signal });
  return jsonReply(200, {
    ...factsShape(recording),
    replay: {
      invocationId: replayed.invocationId,
      version: target.version.label,
      liveVersion: target.version.label === "$LATEST" ? target.record.liveVersion : undefined,
      durationMs: replayed.durationMs,
      outcome: outcomeShape(replayed.outcome),
    },
    differences: replayed.diff.differences,
    more: replayed.diff.more,
    missing: replayed.missing,
  });
}

/** @throws PlatformError `FunctionNotFound`, `RecordingNotFound`. */
async function recordingOf(parts: ControlParts, request: ControlRequest): Promise<Recording> {
  const name = nameOf(request);
  const id = idIn(request);
  await parts.functions.get(name);
  const recording = await parts.recordings.find(name, id);
  if (!recording) throw notFound(id, name);
  return recording;
}

/** @throws PlatformError `InvalidRequest`. */
function idIn(request: ControlRequest): InvocationId {
  const text = request.params.id ?? "";
  const id = parseInvocationId(text.toLowerCase());
  if (id) return id;
  throw new PlatformError(
    "InvalidRequest",
    `expected the id of an invocation, a UUID, got ${JSON.stringify(text.slice(0, 80))}`,
  );
}

function notFound(id: InvocationId, name: FunctionName | undefined): PlatformError {
  const of = name === undefined ? "" : ` of "${name}"`;
  return new PlatformError(
    "RecordingNotFound",
    `there is no recording of invocation ${id}${of}: it was not drawn, was dropped, has been removed or is too old; lambda record status NAME shows what is kept`,
  );
}

async function settingsReply(parts: ControlParts, name: FunctionName): Promise<Reply> {
  const { settings } = await parts.functions.get(name);
  const holdings = await parts.recordings.holdings(name);
  return jsonReply(200, { function: name, ...settingsShape(settings.recording), ...holdings });
}

function settingsShape(settings: RecordingSettings | undefined): Record<string, unknown> {
  return settings ? { ...settings } : { isOn: false };
}

function factsShape(facts: RecordingFacts): Record<string, unknown> {
  return {
    id: facts.invocationId,
    function: facts.functionName,
    at: facts.at,
    version: facts.version,
    liveVersion: facts.liveVersion,
    input: facts.inputKind,
    outcome: facts.outcomeKind,
    status: facts.status,
    durationMs: facts.durationMs,
    inputBytes: facts.inputBytes,
    outputBytes: facts.outputBytes,
    redacted: facts.redacted,
    variables: facts.variables,
  };
}

function recordingShape(recording: Recording): Record<string, unknown> {
  return {
    ...factsShape(recording),
    clientContext: recording.clientContext,
    input: inputShape(recording.input),
    outcome: outcomeShape(recording.outcome),
  };
}

function inputShape(input: RecordedInput): Record<string, unknown> {
  if (input.kind === "event") {
    return { kind: input.kind, contentType: input.contentType, ...bytesShape(input.payload) };
  }
  const { kind, method, path, rawHeaders, body } = input;
  return { kind, method, path, rawHeaders, ...(body && bytesShape(body)) };
}

/** Of a body that was too large to keep, its size and hash. */
function outcomeShape({
  kind,
  errorType,
  status,
  rawHeaders,
  body,
}: ComparedOutcome): Record<string, unknown> {
  const headers = rawHeaders.length > 0 ? rawHeaders : undefined;
  return {
    kind,
    errorType,
    status,
    rawHeaders: headers,
    ...(body instanceof Uint8Array ? bytesShape(body) : body),
  };
}

function bytesShape(bytes: Uint8Array): Record<string, string> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? { text: buffer.toString() } : { base64: buffer.toString("base64") };
}
