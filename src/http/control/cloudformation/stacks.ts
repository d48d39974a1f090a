/**
 * What tools that were made for CloudFormation ask about a stack before they turn to Lambda: which function a resource of a
 * template has become. A function says so itself, by its tags `lambdad:stack` and `lambdad:logical-id`; there are no other
 * resources, and nothing is made or changed here.
 */
import { PlatformError } from "../../../core/errors.ts";
import type { FunctionRecord } from "../../../core/function.ts";
import { decodeToken, encodeToken } from "../cloudwatch/paging.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest } from "../route.ts";
import { parseResource, parseResources, parseResourcesPage, parseStacks } from "./stacks-wire.ts";

type Operation = (parts: ControlParts, request: ControlRequest, body: unknown) => Promise<unknown>;

export const STACK_OPERATIONS: Readonly<Record<string, Operation>> = {
  DescribeStacks: describeStacks,
  ListStackResources: listStackResources,
  DescribeStackResources: describeStackResources,
  DescribeStackResource: describeStackResource,
};

const STACK_TAG = "lambdad:stack";
const LOGICAL_ID_TAG = "lambdad:logical-id";
const FUNCTIONS_PER_STEP = 500;
const RESOURCES_PER_PAGE = 100;
/** Functions are there or not; nothing of a stack is ever under way. */
const STATUS = "CREATE_COMPLETE";

interface Stack {
  readonly name: string;
  readonly id: string;
  /** By logical id. */
  readonly functions: readonly FunctionRecord[];
}

async function describeStacks(parts: ControlParts, request: ControlRequest, body: unknown): Promise<unknown> {
  const { StackName } = parseStacks(body);
  const stacks = await listStacks(parts, request);
  const wanted = StackName === undefined ? [...stacks.values()] : [find(stacks, StackName)];
  return {
    Stacks: wanted.map(({ name, id, functions }) => ({
      StackId: id,
      StackName: name,
      CreationTime: new Date(Math.min(...functions.map(({ createdAt }) => createdAt))),
      StackStatus: STATUS,
      DisableRollback: false,
      Parameters: [],
      Outputs: [],
    })),
  };
}

async function listStackResources(
  parts: ControlParts,
  request: ControlRequest,
  body: unknown,
): Promise<unknown> {
  const { StackName, NextToken } = parseResourcesPage(body);
  const { functions } = find(await listStacks(parts, request), StackName);
  const start = NextToken === undefined ? 0 : decodeToken(NextToken);
  const end = start + RESOURCES_PER_PAGE;
  return {
    StackResourceSummaries: functions.slice(start, end).map((record) => ({
      ...resourceOf(record),
      LastUpdatedTimestamp: new Date(record.latest.modifiedAt),
    })),
    ...(end < functions.length && { NextToken: encodeToken(end) }),
  };
}

async function describeStackResources(
  parts: ControlParts,
  request: ControlRequest,
  body: unknown,
): Promise<unknown> {
  const { StackName, LogicalResourceId, PhysicalResourceId } = parseResources(body);
  const stacks = await listStacks(parts, request);
  const ofPhysical = [...stacks.values()].find(({ functions }) =>
    functions.some(({ name }) => name === PhysicalResourceId),
  );
  if (StackName === undefined && !ofPhysical) throw notThere(PhysicalResourceId ?? "");
  const stack = StackName === undefined ? ofPhysical : find(stacks, StackName);
  const found = (stack?.functions ?? []).filter(
    (record) => LogicalResourceId === undefined || logicalIdOf(record) === LogicalResourceId,
  );
  return {
    StackResources: found.map((record) => ({
      StackName: stack?.name,
      StackId: stack?.id,
      ...resourceOf(record),
      Timestamp: new Date(record.latest.modifiedAt),
    })),
  };
}

async function describeStackResource(
  parts: ControlParts,
  request: ControlRequest,
  body: unknown,
): Promise<unknown> {
  const { StackName, LogicalResourceId } = parseResource(body);
  const { name, id, functions } = find(await listStacks(parts, request), StackName);
  const record = functions.find((each) => logicalIdOf(each) === LogicalResourceId);
  if (!record) {
    throw new PlatformError(
      "ValidationFailed",
      `Resource ${LogicalResourceId} does not exist for stack ${name}`,
    );
  }
  return {
    StackResourceDetail: {
      StackName: name,
      StackId: id,
      ...resourceOf(record),
      LastUpdatedTimestamp: new Date(record.latest.modifiedAt),
    },
  };
}

function resourceOf(record: FunctionRecord) {
  return {
    LogicalResourceId: logicalIdOf(record),
    PhysicalResourceId: record.name,
    ResourceType: "AWS::Lambda::Function",
    ResourceStatus: STATUS,
    DriftInformation: { StackResourceDriftStatus: "NOT_CHECKED" },
  };
}

function logicalIdOf({ name, tags }: FunctionRecord): string {
  return tags[LOGICAL_ID_TAG] ?? name;
}

/** Of the functions that the caller may use. */
async function listStacks(
  { functions, account, region }: ControlParts,
  { caller }: ControlRequest,
): Promise<ReadonlyMap<string, Stack>> {
  const members = new Map<string, FunctionRecord[]>();
  let after: string | undefined;
  for (;;) {
    const page = await functions.list({ after, limit: FUNCTIONS_PER_STEP });
    for (const record of page) {
      after = record.name;
      const name = record.tags[STACK_TAG];
      if (name === undefined || !caller.mayUse(record.name)) continue;
      members.set(name, [...(members.get(name) ?? []), record]);
    }
    if (page.length < FUNCTIONS_PER_STEP) break;
  }
  const byLogicalId = (a: FunctionRecord, b: FunctionRecord) => (logicalIdOf(a) < logicalIdOf(b) ? -1 : 1);
  return new Map(
    [...members].sort().map(([name, of]) => [
      name,
      {
        name,
        id: `arn:aws:cloudformation:${region}:${account}:stack/${name}/lambdad`,
        functions: of.toSorted(byLogicalId),
      },
    ]),
  );
}

/** By name or id. */
function find(stacks: ReadonlyMap<string, Stack>, nameOrId: string): Stack {
  const name = /^arn:[^:]+:cloudformation:[^:]*:\d*:stack\/([^/]+)\//.exec(nameOrId)?.[1] ?? nameOrId;
  const found = stacks.get(name);
  if (!found) throw notThere(nameOrId);
  return found;
}

/** AWS's sentence, and what would make one be there. */
function notThere(asked: string): PlatformError {
  return new PlatformError(
    "ValidationFailed",
    `Stack with id ${asked} does not exist: here a stack is the functions that have the tag ${STACK_TAG}=NAME`,
  );
}
