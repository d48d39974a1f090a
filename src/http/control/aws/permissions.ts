/** The operations on resource policies. Each qualifier has a policy of its own; what one allows is in core/permission.ts. */
import { randomUUID } from "node:crypto";
import { PlatformError } from "../../../core/errors.ts";
import type { FunctionRecord } from "../../../core/function.ts";
import type { FunctionSettings } from "../../../core/function-settings.ts";
import type { Permission, ResourcePolicy } from "../../../core/permission.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { namedBy, versionOf } from "./lookup.ts";
import { parseAddPermission, parseStatementId, policyText, statementShape } from "./permission-wire.ts";

const MISSING = "The resource you requested does not exist.";
const REVISION_CHANGED =
  "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id";

export async function addPermission(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = namedBy(request);
  const { permission, ifRevision } = parseAddPermission(request.json);
  if (qualifier === "$LATEST") {
    throw new PlatformError("InvalidRequest", "We currently do not support adding policies for $LATEST.");
  }
  await versionOf(parts.functions, await parts.functions.get(name), qualifier);
  await parts.functions.changeSettings(name, (record) => {
    const known = policyOf(record, qualifier);
    checkRevision(known, ifRevision);
    const policy = withPermission(known?.permissions ?? [], permission, qualifier);
    policyText(policy, parts, name);
    return withPolicy(record, qualifier, policy);
  });
  const statement = statementShape(permission, parts, { name, qualifier });
  return jsonReply(201, { Statement: JSON.stringify(statement) });
}

export async function getPolicy(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = namedBy(request);
  const policy = policyOf(await parts.functions.get(name), qualifier);
  if (!policy) throw new PlatformError("ResourceNotFound", MISSING);
  return jsonReply(200, { Policy: policyText(policy, parts, name), RevisionId: policy.revisionId });
}

export async function removePermission(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = namedBy(request);
  const id = parseStatementId(request.params.StatementId);
  const ifRevision = request.query.get("RevisionId") ?? undefined;
  await versionOf(parts.functions, await parts.functions.get(name), qualifier);
  await parts.functions.changeSettings(name, (record) => {
    const known = policyOf(record, qualifier);
    if (!known) {
      throw new PlatformError("ResourceNotFound", "No policy is associated with the given resource.");
    }
    const permissions = known.permissions.filter((one) => one.id !== id);
    if (permissions.length === known.permissions.length) {
      throw new PlatformError("ResourceNotFound", `Statement ${id} is not found in resource policy.`);
    }
    checkRevision(known, ifRevision);
    const rest = { qualifier, permissions, revisionId: randomUUID() };
    return withPolicy(record, qualifier, permissions.length > 0 ? rest : undefined);
  });
  return emptyReply(204);
}

export function policyOf(record: FunctionRecord, qualifier: string | undefined): ResourcePolicy | undefined {
  return record.settings.policies.find((policy) => policy.qualifier === qualifier);
}

function withPermission(
  known: readonly Permission[],
  added: Permission,
  qualifier: string | undefined,
): ResourcePolicy {
  if (known.some(({ id }) => id === added.id)) {
    throw new PlatformError(
      "ResourceConflict",
      `The statement id (${added.id}) provided already exists. Please provide a new statement id, or remove the existing statement.`,
    );
  }
  return { qualifier, permissions: [...known, added], revisionId: randomUUID() };
}

export function withPolicy(
  { settings }: FunctionRecord,
  qualifier: string | undefined,
  policy: ResourcePolicy | undefined,
): FunctionSettings {
  const others = settings.policies.filter((other) => other.qualifier !== qualifier);
  return { ...settings, policies: policy ? [...others, policy] : others };
}

export function checkRevision(policy: ResourcePolicy | undefined, ifRevision: string | undefined): void {
  if (ifRevision === undefined || ifRevision === policy?.revisionId) return;
  // A text of its own: the usual one names the operation to ask for the revision of a function.
  throw new PlatformError("RevisionChanged", REVISION_CHANGED);
}
