/** The operations on a resource's policy as a whole: the same policies that permissions.ts adds to and takes from. */
import { randomUUID } from "node:crypto";
import { PlatformError } from "../../../core/errors.ts";
import type { FunctionName } from "../../../core/ids.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { namedBy, versionOf } from "./lookup.ts";
import { functionArn } from "./names.ts";
import { parsePolicy, policyText } from "./permission-wire.ts";
import { checkRevision, policyOf, withPolicy } from "./permissions.ts";

export async function getResourcePolicy(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = await resourceOf(parts, request);
  const policy = policyOf(await parts.functions.get(name), qualifier);
  if (!policy) throw missing();
  return jsonReply(200, { Policy: policyText(policy, parts, name), RevisionId: policy.revisionId });
}

export async function putResourcePolicy(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = await resourceOf(parts, request);
  const { permissions, ifRevision } = parsePolicy(request.json, functionArn(parts, name, qualifier));
  const policy = { qualifier, permissions, revisionId: randomUUID() };
  const shown = policyText(policy, parts, name);
  await parts.functions.changeSettings(name, (record) => {
    checkRevision(policyOf(record, qualifier), ifRevision);
    return withPolicy(record, qualifier, policy);
  });
  return jsonReply(200, { Policy: shown, RevisionId: policy.revisionId });
}

export async function deleteResourcePolicy(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = await resourceOf(parts, request);
  const ifRevision = request.query.get("RevisionId") ?? undefined;
  await parts.functions.changeSettings(name, (record) => {
    const policy = policyOf(record, qualifier);
    if (!policy) throw missing();
    checkRevision(policy, ifRevision);
    return withPolicy(record, qualifier, undefined);
  });
  return emptyReply(204);
}

async function resourceOf(
  parts: ControlParts,
  request: ControlRequest,
): Promise<{ readonly name: FunctionName; readonly qualifier: string | undefined }> {
  const { name, qualifier } = namedBy(request);
  if (qualifier === "$LATEST") {
    throw new PlatformError("InvalidRequest", "We currently do not support adding policies for $LATEST.");
  }
  await versionOf(parts.functions, await parts.functions.get(name), qualifier);
  return { name, qualifier };
}

function missing(): PlatformError {
  return new PlatformError("ResourceNotFound", "The resource you requested does not exist.");
}
