/** EventBridge's rules, as far as they are a time and what it calls: "CloudWatch scheduled events". */
import { isPlatformError, PlatformError } from "../../../core/errors.ts";
import type { Rule, Schedule } from "../../../core/schedule.ts";
import { ruleArn } from "../../../core/schedule-event.ts";
import type { RuleBook } from "../../../registry/rule-book.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, type Handler } from "../route.ts";
import { withErrorsOf } from "./errors.ts";
import * as wire from "./rules-wire.ts";
import { parseTargetArn, refuseOthers, requireDeploy, targetArn } from "./targets.ts";

const SERVICE = "AWSEvents";
const BUS = "default";
/** More rules than that are looked through in steps. */
const STEP = 100;

/** Gives the answer's body; undefined for none. */
type Operation = (request: ControlRequest, body: unknown) => Promise<unknown>;

/** Whether a request at the one address of JSON 1.1 services is for this one. */
export function isForRules({ headers }: ControlRequest): boolean {
  return String(headers["x-amz-target"] ?? "").startsWith(`${SERVICE}.`);
}

export function rulesHandler(parts: ControlParts, book: RuleBook): Handler {
  const operations = ruleOperations(parts, book);
  return withErrorsOf("events", parts, async (request) => {
    const operation = String(request.headers["x-amz-target"] ?? "").slice(SERVICE.length + 1);
    const perform = Object.hasOwn(operations, operation) ? operations[operation] : undefined;
    if (!perform) throw new PlatformError("RouteNotFound", `${operation} is not supported by lambdad`);
    if (!/^(Describe|List)/.test(operation)) requireDeploy(request, operation);
    const value = await perform(request, parseJson(request.bytes));
    if (value === undefined) return emptyReply(200);
    const body = Buffer.from(JSON.stringify(value));
    return { kind: "bytes", status: 200, contentType: "application/x-amz-json-1.1", body };
  });
}

function ruleOperations(parts: ControlParts, book: RuleBook): Readonly<Record<string, Operation>> {
  /** Refused to a key that is not good for all that the rule calls. */
  async function authorised(request: ControlRequest, name: string, operation: string): Promise<Rule> {
    const rule = await book.get(name);
    const targets = await book.targets(name);
    refuseOthers(
      request,
      targets.map(({ functionName }) => functionName),
      operation,
    );
    return rule;
  }

  const setEnabled =
    (isEnabled: boolean): Operation =>
    async (request, body) => {
      const name = wire.parseNamedRule(body);
      await authorised(request, name, isEnabled ? "EnableRule" : "DisableRule");
      await book.setEnabled(name, isEnabled);
    };

  const retag =
    (
      parse: (body: unknown) => { readonly rule: string; change(tags: Rule["tags"]): Rule["tags"] },
    ): Operation =>
    async (request, body) => {
      const { rule: name, change } = parse(body);
      const rule = await authorised(request, name, "TagResource");
      await book.put({ ...rule, tags: change(rule.tags) });
      return {};
    };

  return {
    async PutRule(request, body) {
      const wanted = wire.parsePutRule(body);
      await authorised(request, wanted.name, "PutRule").catch((error: unknown) => {
        if (!isPlatformError(error, "ResourceNotFound")) throw error;
      });
      const rule = await book.put(wanted);
      return { RuleArn: ruleArn(rule.name, parts) };
    },
    async DescribeRule(_request, body) {
      const rule = await book.get(wire.parseNamedRule(body));
      return { ...ruleShape(rule, parts), CreatedBy: parts.account };
    },
    async ListRules(_request, body) {
      const { prefix, after, limit } = wire.parseRulePage(body);
      const rules = await book.list({ prefix, after, limit: limit + 1 });
      const shown = rules.slice(0, limit);
      return {
        Rules: shown.map((rule) => ruleShape(rule, parts)),
        ...(rules.length > limit && { NextToken: shown.at(-1)?.name }),
      };
    },
    EnableRule: setEnabled(true),
    DisableRule: setEnabled(false),
    async DeleteRule(request, body) {
      const name = wire.parseNamedRule(body);
      try {
        await authorised(request, name, "DeleteRule");
        await book.remove(name);
      } catch (error) {
        // As on EventBridge, what is not there is deleted already.
        if (!isPlatformError(error, "ResourceNotFound")) throw inRuleWords(error);
      }
    },
    async PutTargets(request, body) {
      const { rule, targets } = wire.parsePutTargets(body);
      await authorised(request, rule, "PutTargets");
      const failed: Record<string, unknown>[] = [];
      for (const { id, arn, input, lateMsMax } of targets) {
        try {
          const target = parseTargetArn(arn, parts);
          refuseOthers(request, [target.functionName], "PutTargets");
          await book.putTarget(rule, { id, ...target, input, lateMsMax });
        } catch (error) {
          failed.push(failedEntry(id, error));
        }
      }
      return { FailedEntryCount: failed.length, FailedEntries: failed };
    },
    async RemoveTargets(request, body) {
      const { rule, ids } = wire.parseRemoveTargets(body);
      await authorised(request, rule, "RemoveTargets");
      const failed: Record<string, unknown>[] = [];
      for (const id of ids) {
        if (await book.removeTarget(rule, id)) continue;
        failed.push({
          TargetId: id,
          ErrorCode: "ResourceNotFoundException",
          ErrorMessage: `Rule ${rule} does not have target(s) ${id}.`,
        });
      }
      return { FailedEntryCount: failed.length, FailedEntries: failed };
    },
    async ListTargetsByRule(request, body) {
      const { rule, after, limit } = wire.parseTargetPage(body);
      const targets = (await book.targets(rule))
        .filter(({ functionName }) => request.caller.mayUse(functionName))
        .map((schedule) => targetShape(schedule, parts))
        .filter(({ Id }) => after === undefined || Id > after);
      const shown = targets.slice(0, limit);
      return { Targets: shown, ...(targets.length > limit && { NextToken: shown.at(-1)?.Id }) };
    },
    async ListRuleNamesByTarget(request, body) {
      const { arn, after, limit } = wire.parseRulesByTarget(body);
      const wanted = parseTargetArn(arn, parts);
      refuseOthers(request, [wanted.functionName], "ListRuleNamesByTarget");
      const names: string[] = [];
      let position = after;
      while (names.length <= limit) {
        const page = await book.list({ prefix: "", after: position, limit: STEP });
        for (const { name } of page) {
          const targets = await book.targets(name).catch(() => []);
          if (targets.some((target) => targetArn(target, parts) === arn)) names.push(name);
        }
        position = page.at(-1)?.name;
        if (page.length < STEP) break;
      }
      const shown = names.slice(0, limit);
      return { RuleNames: shown, ...(names.length > limit && { NextToken: shown.at(-1) }) };
    },
    async ListTagsForResource(_request, body) {
      const { tags } = await book.get(wire.parseNamedResource(body));
      return { Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) };
    },
    TagResource: retag((body) => {
      const { rule, tags } = wire.parseTagResource(body);
      return { rule, change: (before) => ({ ...before, ...tags }) };
    }),
    UntagResource: retag((body) => {
      const { rule, keys } = wire.parseUntagResource(body);
      const change = (before: Rule["tags"]) =>
        Object.fromEntries(Object.entries(before).filter(([key]) => !keys.includes(key)));
      return { rule, change };
    }),
  };
}

function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch (cause) {
    throw new PlatformError("InvalidPayload", "the body is not JSON", { cause });
  }
}

/** A rule with targets is no limit that is exceeded. */
function inRuleWords(error: unknown): unknown {
  return isPlatformError(error, "ResourceConflict")
    ? new PlatformError("ValidationFailed", error.message, { cause: error })
    : error;
}

/** What is wrong with one target keeps no other from being put. */
function failedEntry(id: string, error: unknown): Record<string, unknown> {
  if (!isPlatformError(error)) throw error;
  const names: Partial<Record<typeof error.code, string>> = {
    ResourceConflict: "LimitExceededException",
    FunctionNotFound: "ResourceNotFoundException",
    AliasNotFound: "ResourceNotFoundException",
    VersionNotFound: "ResourceNotFoundException",
    Forbidden: "AccessDeniedException",
  };
  return {
    TargetId: id,
    ErrorCode: names[error.code] ?? "ValidationException",
    ErrorMessage: error.message,
  };
}

function ruleShape(rule: Rule, parts: ControlParts): Record<string, unknown> {
  return {
    Name: rule.name,
    Arn: ruleArn(rule.name, parts),
    ScheduleExpression: rule.expression,
    State: rule.isEnabled ? "ENABLED" : "DISABLED",
    ...(rule.description !== "" && { Description: rule.description }),
    ...(rule.roleArn !== undefined && { RoleArn: rule.roleArn }),
    EventBusName: BUS,
  };
}

function targetShape(
  schedule: Schedule,
  parts: ControlParts,
): { readonly Id: string } & Record<string, unknown> {
  const { owner, input } = schedule;
  return {
    Id: owner.kind === "rule" ? owner.target : schedule.name,
    Arn: targetArn(schedule, parts),
    ...(input !== undefined && { Input: input }),
  };
}
