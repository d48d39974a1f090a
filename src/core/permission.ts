/**
 * Resource policies: who else may call a function, beside the keys whose own pattern covers it. A policy belongs to a
 * function as a whole or to one of its qualifiers, and only ever allows.
 */

/** One statement of a policy: what `AddPermission` adds. */
export interface Permission {
  /** 1 to 100 characters of `A-Z a-z 0-9 - _`, unique in its policy. */
  readonly id: string;
  /** `lambda:InvokeFunction`, `lambda:InvokeFunctionUrl`, `lambda:*`, `*` … */
  readonly action: string;
  readonly principal: Principal;
  readonly conditions: PermissionConditions;
}

export type Principal =
  | { readonly kind: "everybody" }
  /** `s3.amazonaws.com`. */
  | { readonly kind: "service"; readonly name: string }
  /** An ARN of IAM; an account is its `root`. */
  | { readonly kind: "aws"; readonly arn: string };

/** All that are set must hold. */
export interface PermissionConditions {
  readonly sourceArn?: string | undefined;
  readonly sourceAccount?: string | undefined;
  readonly eventSourceToken?: string | undefined;
  readonly organisation?: string | undefined;
  readonly urlAuthType?: "NONE" | "AWS_IAM" | undefined;
  readonly onlyByUrl?: boolean | undefined;
}

export interface ResourcePolicy {
  /** An alias or a number; undefined is the function as a whole. */
  readonly qualifier: string | undefined;
  /** A UUID that is new whenever a statement is. */
  readonly revisionId: string;
  /** In the order in which they were added; never none. */
  readonly permissions: readonly Permission[];
}

/** What somebody wants to do. */
export interface PermissionRequest {
  readonly action: "lambda:InvokeFunction" | "lambda:InvokeFunctionUrl";
  /** ARNs that the caller answers to, its account's root among them; undefined for a stranger. */
  readonly callerArns: readonly string[] | undefined;
  /** Of the URL that it came by; undefined if it came by the API. */
  readonly urlAuthType: "NONE" | "AWS_IAM" | undefined;
}

/** Whether the policy of just that qualifier allows it; that of the function does not stand in for one of its aliases. */
export function isPermitted(
  policies: readonly ResourcePolicy[],
  qualifier: string | undefined,
  request: PermissionRequest,
): boolean {
  const policy = policies.find((candidate) => candidate.qualifier === qualifier);
  return policy?.permissions.some((permission) => allows(permission, request)) ?? false;
}

function allows({ action, principal, conditions }: Permission, request: PermissionRequest): boolean {
  const isAction = action === "*" || action === "lambda:*" || action === request.action;
  return isAction && isMeant(principal, request.callerArns) && hold(conditions, request);
}

/** Services do not call here: triggers are made by whoever may deploy. */
function isMeant(principal: Principal, callerArns: readonly string[] | undefined): boolean {
  switch (principal.kind) {
    case "everybody":
      return true;
    case "service":
      return false;
    case "aws":
      return callerArns?.includes(principal.arn) ?? false;
  }
}

/** What is only known of calls by services holds for none of ours. */
function hold(conditions: PermissionConditions, { urlAuthType }: PermissionRequest): boolean {
  const { sourceArn, sourceAccount, eventSourceToken, organisation } = conditions;
  if (sourceArn ?? sourceAccount ?? eventSourceToken ?? organisation) return false;
  if (conditions.urlAuthType !== undefined && conditions.urlAuthType !== urlAuthType) return false;
  return conditions.onlyByUrl === undefined || conditions.onlyByUrl === (urlAuthType !== undefined);
}
