/** The operations on runtime updates, which are kept and shown only, and on recursive loops. */
import { PlatformError } from "../../../core/errors.ts";
import type { RuntimeUpdates } from "../../../core/function-settings.ts";
import type { FunctionName } from "../../../core/ids.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, jsonReply, type Reply } from "../route.ts";
import { namedBy, unqualified, versionOf } from "./lookup.ts";
import { functionArn } from "./names.ts";
import { parsePutRecursion, parsePutRuntimeManagement } from "./settings-wire.ts";

export async function getRuntimeManagement(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = await versioned(parts, request);
  const { settings } = await parts.functions.get(name);
  const found = settings.runtimeUpdates.find((updates) => updates.qualifier === qualifier);
  return jsonReply(
    200,
    runtimeShape(parts, name, found ?? { qualifier, mode: "Auto", runtimeArn: undefined }),
  );
}

export async function putRuntimeManagement(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = await versioned(parts, request);
  const made: RuntimeUpdates = { qualifier, ...parsePutRuntimeManagement(request.json) };
  await parts.functions.changeSettings(name, ({ settings }) => {
    const others = settings.runtimeUpdates.filter((updates) => updates.qualifier !== qualifier);
    return { ...settings, runtimeUpdates: made.mode === "Auto" ? others : [...others, made] };
  });
  return jsonReply(200, runtimeShape(parts, name, made));
}

export async function getRecursion(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = unqualified(request);
  const { settings } = await parts.functions.get(name);
  return jsonReply(200, { RecursiveLoop: settings.recursiveLoop });
}

export async function putRecursion(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = unqualified(request);
  const recursiveLoop = parsePutRecursion(request.json);
  await parts.functions.changeSettings(name, ({ settings }) => ({ ...settings, recursiveLoop }));
  return jsonReply(200, { RecursiveLoop: recursiveLoop });
}

/** Runtimes belong to versions: there is none of an alias's own. */
async function versioned(
  parts: ControlParts,
  request: ControlRequest,
): Promise<{ readonly name: FunctionName; readonly qualifier: string | undefined }> {
  const { name, qualifier } = namedBy(request);
  const record = await parts.functions.get(name);
  if (qualifier !== undefined && qualifier !== "$LATEST" && !/^\d+$/.test(qualifier)) {
    throw new PlatformError(
      "ValidationFailed",
      `1 validation error detected: Value '${qualifier}' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: \\$LATEST|[0-9]+`,
    );
  }
  await versionOf(parts.functions, record, qualifier);
  return { name, qualifier: qualifier === "$LATEST" ? undefined : qualifier };
}

function runtimeShape(
  parts: ControlParts,
  name: FunctionName,
  { qualifier, mode, runtimeArn }: RuntimeUpdates,
): Record<string, unknown> {
  return {
    UpdateRuntimeOn: mode,
    FunctionArn: functionArn(parts, name, qualifier ?? "$LATEST"),
    ...(runtimeArn !== undefined && { RuntimeVersionArn: runtimeArn }),
  };
}
