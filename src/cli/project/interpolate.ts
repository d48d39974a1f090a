import { isMap, isPair, isScalar, isSeq, type Node, parse as parseYaml, Scalar } from "yaml";
import { nearest } from "../nearest.ts";

/** `$${`, which stands for `${`, or one of those up to where it ends, if it does. */
const REFERENCE = /\$\$\{|\$\{([^}]*)(\}?)/g;
const VARIABLE = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?$/;
/** `${ev:X}`, `${env.X}`; not `${X}` and `${X:-y}`, which shells know. */
const MISTAKEN = /^env:|^[A-Za-z_][A-Za-z0-9_]*[:.](?![-+=?])/;
const SHOWN_MAX = 60;

/**
 * Puts values of variables into all text below a node, each as it is, whatever is in it. What was written without quotes is
 * read again afterwards, so that `max: ${env:MAX:-5}` is a number. `missing` is told of each variable that is not set and has
 * no default, `malformed` of what only looks like one.
 */
export function interpolate(
  node: unknown,
  variables: Readonly<Record<string, string | undefined>>,
  missing: (name: string, at: Node) => void,
  malformed: (message: string, at: Node) => void,
): void {
  if (isMap(node) || isSeq(node)) {
    for (const item of node.items)
      interpolate(isPair(item) ? item.value : item, variables, missing, malformed);
    return;
  }
  if (!isScalar(node) || typeof node.value !== "string" || !node.value.includes("${")) return;
  const text = node.value.replace(REFERENCE, (whole, inside: string | undefined, end: string | undefined) => {
    if (inside === undefined) return "${";
    const [, name, byDefault] = (end === "}" && VARIABLE.exec(inside)) || [];
    if (name === undefined || byDefault?.includes("${")) {
      if (MISTAKEN.test(inside)) malformed(mistake(whole, inside), node);
      return whole;
    }
    const value = variables[name] ?? byDefault;
    if (value === undefined) missing(name, node);
    return value ?? "";
  });
  node.value = node.type === Scalar.PLAIN ? plainValue(text) : text;
}

function mistake(whole: string, inside: string): string {
  const [, word = "", name] = /^([A-Za-z]*)[:.]?([A-Za-z_][A-Za-z0-9_]*)?/.exec(inside) ?? [];
  const isMeant = name !== undefined && nearest(word, ["env"]) !== undefined && !inside.includes("${");
  const hint = isMeant ? `did you mean $\{env:${name}}?` : "a literal ${ is written $${";
  const got = whole.length > SHOWN_MAX ? `${whole.slice(0, SHOWN_MAX)}…` : whole;
  return `expected $\{env:NAME} or $\{env:NAME:-default}, got ${JSON.stringify(got)}; ${hint}`;
}

/** Nothing but numbers and truths is read out of a value: it must not become a structure. */
function plainValue(text: string): unknown {
  if (!/^(true|false|-?\d+(\.\d+)?)$/.test(text)) return text;
  return parseYaml(text);
}
