import { isMap, isPair, isScalar, isSeq, type Node, parse as parseYaml, Scalar } from "yaml";

const VARIABLE = /\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g;

/**
 * Puts values of variables into all text below a node. What was written without quotes is read again afterwards, so that
 * `max: ${env:MAX:-5}` is a number. `missing` is told of each variable that is not set and has no default, `malformed` of what only
 * looks like one.
 */
export function interpolate(
  node: unknown,
  variables: Readonly<Record<string, string | undefined>>,
  missing: (name: string, at: Node) => void,
  malformed: (at: Node) => void,
): void {
  if (isMap(node) || isSeq(node)) {
    for (const item of node.items)
      interpolate(isPair(item) ? item.value : item, variables, missing, malformed);
    return;
  }
  if (!isScalar(node) || typeof node.value !== "string" || !node.value.includes("${env:")) return;
  const text = node.value.replace(VARIABLE, (_, name: string, byDefault: string | undefined) => {
    const value = variables[name] ?? byDefault;
    if (value === undefined) missing(name, node);
    return value ?? "";
  });
  if (text.includes("${env:")) malformed(node);
  node.value = node.type === Scalar.PLAIN ? plainValue(text) : text;
}

/** Nothing but numbers and truths is read out of a value: it must not become a structure. */
function plainValue(text: string): unknown {
  if (!/^(true|false|-?\d+(\.\d+)?)$/.test(text)) return text;
  return parseYaml(text);
}
