/** Permissions as AWS clients send them, and policies as AWS shows them: JSON text inside JSON. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import type {
  Permission,
  PermissionConditions,
  Principal,
  ResourcePolicy,
} from "../../../core/permission.ts";
import { type Account, functionArn } from "./names.ts";
import { oneOf, optional, parse, text } from "./validation.ts";

const STATEMENT_ID = "([a-zA-Z0-9-_]+)";
const BYTES_MAX = 20_480;

const AddPermissionRequest = z.object({
  StatementId: text({ min: 1, max: 100, pattern: STATEMENT_ID }),
  Action: text({ pattern: "(lambda:[*]|lambda:[a-zA-Z]+|[*])" }),
  Principal: text({ min: 1, max: 2_048, pattern: "[^\\s]+" }),
  SourceArn: optional(text({ max: 2_048, pattern: "arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\\-])+:.*" })),
  SourceAccount: optional(text({ max: 12, pattern: "\\d{12}" })),
  EventSourceToken: optional(text({ max: 256, pattern: "[a-zA-Z0-9._\\-]+" })),
  PrincipalOrgID: optional(text({ min: 12, max: 34, pattern: "o-[a-z0-9]{10,32}" })),
  FunctionUrlAuthType: optional(oneOf(["NONE", "AWS_IAM"])),
  InvokedViaFunctionUrl: optional(z.boolean()),
  RevisionId: optional(z.string()),
});

/** @throws PlatformError `InvalidRequest` for a principal that is none. */
export function parseAddPermission(body: unknown): {
  readonly permission: Permission;
  readonly ifRevision: string | undefined;
} {
  const request = parse(AddPermissionRequest, body);
  const { FunctionUrlAuthType: urlAuthType, Action: action } = request;
  if (urlAuthType !== undefined && action !== "lambda:InvokeFunctionUrl") {
    throw new PlatformError(
      "InvalidRequest",
      "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action",
    );
  }
  const conditions = {
    sourceArn: request.SourceArn,
    sourceAccount: request.SourceAccount,
    eventSourceToken: request.EventSourceToken,
    organisation: request.PrincipalOrgID,
    urlAuthType,
    onlyByUrl: request.InvokedViaFunctionUrl,
  };
  return {
    permission: {
      id: request.StatementId,
      action,
      principal: parsePrincipal(request.Principal),
      conditions: setOnly(conditions),
    },
    ifRevision: request.RevisionId,
  };
}

function parsePrincipal(given: string): Principal {
  if (given === "*") return { kind: "everybody" };
  if (/^\d{12}$/.test(given)) return { kind: "aws", arn: `arn:aws:iam::${given}:root` };
  if (/^arn:aws[a-z-]*:(iam|sts)::\d{12}:[\w+=,.@/-]+$/.test(given)) return { kind: "aws", arn: given };
  if (/^[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?$/.test(given))
    return { kind: "service", name: given };
  throw new PlatformError(
    "InvalidRequest",
    "The provided principal was invalid. Please check the principal and try again.",
  );
}

const AnyStatement = z.strictObject({
  Sid: text({ min: 1, max: 100, pattern: STATEMENT_ID }),
  Effect: z.literal("Allow"),
  Principal: z.union([
    z.literal("*"),
    z.strictObject({ AWS: z.string() }),
    z.strictObject({ Service: z.string() }),
  ]),
  Action: text({ pattern: "(lambda:[*]|lambda:[a-zA-Z]+|[*])" }),
  Resource: z.string(),
  Condition: z
    .strictObject({
      StringEquals: z
        .strictObject({
          "AWS:SourceAccount": z.string(),
          "lambda:FunctionUrlAuthType": z.enum(["NONE", "AWS_IAM"]),
          "lambda:EventSourceToken": z.string(),
          "aws:PrincipalOrgID": z.string(),
        })
        .partial(),
      Bool: z.strictObject({ "lambda:InvokedViaFunctionUrl": z.enum(["true", "false"]) }),
      ArnLike: z.strictObject({ "AWS:SourceArn": z.string() }),
    })
    .partial()
    .optional(),
});

const PutResourcePolicyRequest = z.object({
  Policy: text({ min: 1, max: 20_480 }),
  RevisionId: optional(z.string()),
});

/**
 * A policy as a whole, as `PutResourcePolicy` has it: statements of the form that `AddPermission` makes, for `resource`.
 *
 * @throws PlatformError `InvalidRequest` for any other.
 */
export function parsePolicy(
  body: unknown,
  resource: string,
): { readonly permissions: readonly Permission[]; readonly ifRevision: string | undefined } {
  const request = parse(PutResourcePolicyRequest, body);
  const Policy = z.object({
    Version: z.string().optional(),
    Id: z.string().optional(),
    Statement: z.array(AnyStatement).min(1).max(100),
  });
  let json: unknown;
  try {
    json = JSON.parse(request.Policy);
  } catch (cause) {
    throw new PlatformError("InvalidRequest", "Policy: expected JSON", { cause });
  }
  const result = Policy.safeParse(json);
  const statements = result.success ? result.data.Statement : [];
  const isUnique = new Set(statements.map(({ Sid }) => Sid)).size === statements.length;
  if (!result.success || !isUnique || statements.some(({ Resource }) => Resource !== resource)) {
    throw new PlatformError(
      "InvalidRequest",
      `Policy: expected statements as AddPermission makes them, each with a Sid of its own, for ${resource}`,
    );
  }
  return { permissions: statements.map(permissionOf), ifRevision: request.RevisionId };
}

function permissionOf(statement: z.output<typeof AnyStatement>): Permission {
  const { Sid, Principal, Action, Condition } = statement;
  const equals = Condition?.StringEquals;
  const onlyByUrl = Condition?.Bool?.["lambda:InvokedViaFunctionUrl"];
  const principal = Principal === "*" ? Principal : "AWS" in Principal ? Principal.AWS : Principal.Service;
  return {
    id: Sid,
    action: Action,
    principal: parsePrincipal(principal),
    conditions: setOnly({
      sourceArn: Condition?.ArnLike?.["AWS:SourceArn"],
      sourceAccount: equals?.["AWS:SourceAccount"],
      eventSourceToken: equals?.["lambda:EventSourceToken"],
      organisation: equals?.["aws:PrincipalOrgID"],
      urlAuthType: equals?.["lambda:FunctionUrlAuthType"],
      onlyByUrl: onlyByUrl === undefined ? undefined : onlyByUrl === "true",
    }),
  };
}

/** Without the members that are undefined. */
function setOnly(conditions: PermissionConditions): PermissionConditions {
  return Object.fromEntries(Object.entries(conditions).filter(([, value]) => value !== undefined));
}

/** `StatementId` of a path. @throws PlatformError `ValidationFailed`. */
export function parseStatementId(id: string | undefined): string {
  const Members = z.object({ StatementId: text({ min: 1, max: 100, pattern: STATEMENT_ID }) });
  return parse(Members, { StatementId: id }).StatementId;
}

export function statementShape(
  permission: Permission,
  account: Account,
  on: { readonly name: string; readonly qualifier: string | undefined },
): Record<string, unknown> {
  const { id, action, principal } = permission;
  const condition = conditionShape(permission);
  return {
    Sid: id,
    Effect: "Allow",
    Principal: principalShape(principal),
    Action: action,
    Resource: functionArn(account, on.name, on.qualifier),
    ...(Object.keys(condition).length > 0 && { Condition: condition }),
  };
}

/** The text of a policy. @throws PlatformError `PolicyTooLong`. */
export function policyText(policy: ResourcePolicy, account: Account, name: string): string {
  const { qualifier, permissions } = policy;
  const statements = permissions.map((one) => statementShape(one, account, { name, qualifier }));
  const shown = JSON.stringify({ Version: "2012-10-17", Id: "default", Statement: statements });
  const bytes = Buffer.byteLength(shown);
  if (bytes > BYTES_MAX) {
    throw new PlatformError(
      "PolicyTooLong",
      `The final policy size (${bytes}) is bigger than the limit (${BYTES_MAX}).`,
    );
  }
  return shown;
}

function principalShape(principal: Principal): unknown {
  switch (principal.kind) {
    case "everybody":
      return "*";
    case "service":
      return { Service: principal.name };
    case "aws":
      return { AWS: principal.arn };
  }
}

/** AWS's operators, each with the keys that it compares. */
function conditionShape({ conditions }: Permission): Record<string, Record<string, string>> {
  const { sourceArn, sourceAccount, eventSourceToken, organisation, urlAuthType, onlyByUrl } = conditions;
  const equals = {
    ...(sourceAccount !== undefined && { "AWS:SourceAccount": sourceAccount }),
    ...(urlAuthType !== undefined && { "lambda:FunctionUrlAuthType": urlAuthType }),
    ...(eventSourceToken !== undefined && { "lambda:EventSourceToken": eventSourceToken }),
    ...(organisation !== undefined && { "aws:PrincipalOrgID": organisation }),
  };
  return {
    ...(Object.keys(equals).length > 0 && { StringEquals: equals }),
    ...(onlyByUrl !== undefined && { Bool: { "lambda:InvokedViaFunctionUrl": String(onlyByUrl) } }),
    ...(sourceArn !== undefined && { ArnLike: { "AWS:SourceArn": sourceArn } }),
  };
}
