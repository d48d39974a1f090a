/**
 * AWS's query protocol, which older clients speak with CloudWatch, and all with CloudFormation: a form with `Action` and members as
 * `Dimensions.member.1.Name=…`, answered in XML. https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
 */
import { PlatformError } from "../../../core/errors.ts";

const NAMESPACE = "http://monitoring.amazonaws.com/doc/2010-08-01/";
/** CloudFormation's. */
export const STACKS_VERSION = "2010-05-15";
const STACKS_NAMESPACE = `http://cloudformation.amazonaws.com/doc/${STACKS_VERSION}/`;
const DEPTH_MAX = 10;

export interface QueryRequest {
  readonly action: string;
  /** Of the service's API. */
  readonly version: string;
  /** Lists are lists again; every value is text. */
  readonly body: unknown;
}

/** @throws PlatformError `InvalidPayload` for a form that is no tree. */
export function parseQueryForm(bytes: Uint8Array): QueryRequest {
  const root: Tree = new Map();
  let action = "";
  let version = "";
  for (const [name, value] of new URLSearchParams(Buffer.from(bytes).toString())) {
    if (name === "Action") action = value;
    else if (name === "Version") version = value;
    else put(root, name.split("."), value);
  }
  return { action, version, body: unfold(root) };
}

type Tree = Map<string, Tree | string>;

function put(tree: Tree, path: readonly string[], value: string): void {
  const [name = "", ...rest] = path;
  if (path.length > DEPTH_MAX) throw new PlatformError("InvalidPayload", "the form is nested too deep");
  const found = tree.get(name);
  if (rest.length === 0 && found === undefined) {
    tree.set(name, value);
    return;
  }
  const branch = found ?? new Map<string, Tree | string>();
  if (typeof branch === "string" || rest.length === 0) {
    throw new PlatformError(
      "InvalidPayload",
      `the form has ${JSON.stringify(name)} twice, with and without members`,
    );
  }
  tree.set(name, branch);
  put(branch, rest, value);
}

function unfold(tree: Tree | string): unknown {
  if (typeof tree === "string") return tree;
  const members = tree.get("member");
  if (tree.size === 1 && members instanceof Map) {
    return [...members].sort(([a], [b]) => Number(a) - Number(b)).map(([, member]) => unfold(member));
  }
  // Without a prototype's members.
  return Object.fromEntries([...tree].map(([name, branch]) => [name, unfold(branch)]));
}

export function queryAnswer(
  call: { readonly action: string; readonly requestId: string; readonly isOfStacks: boolean },
  value: unknown,
): string {
  const { action, requestId } = call;
  const result = `<${action}Result>${xmlOf(value)}</${action}Result>`;
  const metadata = `<ResponseMetadata><RequestId>${requestId}</RequestId></ResponseMetadata>`;
  const namespace = call.isOfStacks ? STACKS_NAMESPACE : NAMESPACE;
  return `<${action}Response xmlns="${namespace}">${result}${metadata}</${action}Response>`;
}

export function queryError(error: {
  readonly code: string;
  readonly message: string;
  readonly isSender: boolean;
  readonly requestId: string;
}): string {
  const type = error.isSender ? "Sender" : "Receiver";
  const inner = xmlOf({ Type: type, Code: error.code, Message: error.message });
  return `<ErrorResponse xmlns="${NAMESPACE}"><Error>${inner}</Error><RequestId>${error.requestId}</RequestId></ErrorResponse>`;
}

function xmlOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map((member) => `<member>${xmlOf(member)}</member>`).join("");
  if (value instanceof Map) {
    return [...value]
      .map(([key, one]) => `<entry><key>${xmlOf(key)}</key><value>${xmlOf(one)}</value></entry>`)
      .join("");
  }
  if (typeof value === "object") {
    return Object.entries(value)
      .map(([name, member]) => (member === undefined ? "" : `<${name}>${xmlOf(member)}</${name}>`))
      .join("");
  }
  return String(value).replace(UNSAFE, (found) => ESCAPED[found] ?? "\ufffd");
}

/** What has a meaning in XML, and what XML cannot have at all. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNSAFE = /[&<>"'\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;
const ESCAPED: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};
