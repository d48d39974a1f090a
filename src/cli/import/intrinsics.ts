/** CloudFormation's functions in YAML, short (`!Ref X`) and long (`Ref: X`), as far as they can be worked out here. */
import { type CollectionTag, isCollection, type ScalarTag } from "yaml";
import { isRecord } from "../../core/is-record.ts";
import { textOf } from "./draft.ts";

export class Intrinsic {
  readonly name: string;
  readonly value: unknown;

  constructor(name: string, value: unknown) {
    this.name = name;
    this.value = value;
  }

  /** As a person would write it. */
  toString(): string {
    return `!${this.name} ${textOf(this.value) ?? JSON.stringify(this.value)}`;
  }
}

const NAMES = [
  "Ref",
  "Sub",
  "GetAtt",
  "Join",
  "ImportValue",
  "FindInMap",
  "Select",
  "Split",
  "If",
  "Not",
  "Equals",
  "And",
  "Or",
  "Base64",
  "Cidr",
  "GetAZs",
  "Transform",
  "Condition",
] as const;

/** For `parse` of yaml. */
export const INTRINSIC_TAGS: (ScalarTag | CollectionTag)[] = NAMES.flatMap((name) => [
  { tag: `!${name}`, resolve: (text: string) => new Intrinsic(name, text) },
  ...(["seq", "map"] as const).map(
    (collection): CollectionTag => ({
      tag: `!${name}`,
      collection,
      resolve: (node) => (isCollection(node) ? node : undefined),
    }),
  ),
]);

/** What parameters stand for, by name. */
export type Parameters = ReadonlyMap<string, string>;

/** The text that a value comes to; undefined if only a deployment on AWS could tell. */
export function evaluate(value: unknown, parameters: Parameters): string | undefined {
  const plain = textOf(value);
  if (plain !== undefined) return plain;
  const intrinsic = value instanceof Intrinsic ? value : longForm(value);
  if (!intrinsic) return undefined;
  if (intrinsic.name === "Ref") return parameters.get(String(intrinsic.value));
  if (intrinsic.name !== "Sub" || typeof intrinsic.value !== "string") return undefined;
  let isKnown = true;
  const text = intrinsic.value.replace(/\$\{([^}!]+)\}/g, (_, name: string) => {
    const known = parameters.get(name.trim());
    isKnown &&= known !== undefined;
    return known ?? "";
  });
  // `${!X}` is how a literal `${X}` is written there.
  return isKnown ? text.replaceAll("${!", "${") : undefined;
}

/** The resource that a value names: `!Ref X`, `!GetAtt X.Arn`. */
export function resourceOf(value: unknown): string | undefined {
  const intrinsic = value instanceof Intrinsic ? value : longForm(value);
  if (intrinsic?.name === "Ref") return textOf(intrinsic.value);
  if (intrinsic?.name !== "GetAtt") return undefined;
  const target = Array.isArray(intrinsic.value) ? intrinsic.value[0] : intrinsic.value;
  return textOf(target)?.split(".")[0];
}

export function longForm(value: unknown): Intrinsic | undefined {
  if (!isRecord(value) || Object.keys(value).length !== 1) return undefined;
  const [[key, inner] = ["", undefined]] = Object.entries(value);
  if (key === "Ref") return new Intrinsic("Ref", inner);
  return key.startsWith("Fn::") ? new Intrinsic(key.slice("Fn::".length), inner) : undefined;
}
