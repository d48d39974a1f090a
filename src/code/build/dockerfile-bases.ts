import { imageArchitecture } from "../../core/architecture.ts";
import { type Instruction, readInstructions } from "./dockerfile-text.ts";

/** The images that a Dockerfile is built on. */
export interface DockerfileBases {
  /** What the last stage stands on in the end; undefined for `scratch`, and for a name that cannot be known. */
  readonly base: string | undefined;
  /** What it copies from, directly or through other stages, besides that. */
  readonly others: readonly string[];
  /** Names that an argument without a default decides, as the Dockerfile has them. */
  readonly unknown: readonly string[];
}

interface Stage {
  readonly base: string;
  readonly name: string | undefined;
  readonly copiesFrom: string[];
}

const SCRATCH = "scratch";

/** `args` are given in place of the defaults of what is declared before the first stage. */
export function findBases(dockerfile: string, args: Readonly<Record<string, string>> = {}): DockerfileBases {
  const stages = readStages(readInstructions(dockerfile), args);
  const last = stages.at(-1);
  if (!last) return { base: undefined, others: [], unknown: [] };
  const others = new Set<string>();
  const seen = new Set<Stage>();
  const root = follow(stages, last);
  const visit = (stage: Stage) => {
    if (seen.has(stage)) return;
    seen.add(stage);
    const index = stages.indexOf(stage);
    for (const name of [stage.base, ...stage.copiesFrom]) {
      const inner = findStage(stages.slice(0, index), name);
      if (inner) visit(inner);
      else if (name !== SCRATCH && name !== root) others.add(name);
    }
  };
  visit(last);
  const isKnown = (name: string) => !name.includes("$");
  return {
    base: root === SCRATCH || !isKnown(root) ? undefined : root,
    others: [...others].filter(isKnown),
    unknown: [root, ...others].filter((name) => !isKnown(name)),
  };
}

/** The name that a stage's chain of stages ends at. */
function follow(stages: readonly Stage[], stage: Stage): string {
  const inner = findStage(stages.slice(0, stages.indexOf(stage)), stage.base);
  return inner ? follow(stages, inner) : stage.base;
}

/** By its name, the last of them, or by its number. */
function findStage(before: readonly Stage[], name: string): Stage | undefined {
  const named = before.findLast((stage) => stage.name === name.toLowerCase());
  return named ?? (/^\d+$/.test(name) ? before[Number(name)] : undefined);
}

function readStages(
  instructions: readonly Instruction[],
  args: Readonly<Record<string, string>>,
): readonly Stage[] {
  const variables = new Map(Object.entries(platformArgs()));
  const stages: Stage[] = [];
  for (const { keyword, flags, rest } of instructions) {
    const stage = stages.at(-1);
    if (keyword === "ARG" && !stage) {
      for (const [, name = "", value] of rest.matchAll(/([A-Za-z_]\w*)(?:=("[^"]*"|'[^']*'|\S*))?/g)) {
        const given = Object.hasOwn(args, name) ? args[name] : undefined;
        if (given !== undefined) variables.set(name, given);
        else if (value !== undefined) variables.set(name, expand(unquoted(value), variables));
      }
    }
    if (keyword === "FROM") {
      const [, image = "", name] = /^(\S+)(?:\s+AS\s+(\S+))?/i.exec(rest) ?? [];
      stages.push({ base: expand(unquoted(image), variables), name: name?.toLowerCase(), copiesFrom: [] });
    }
    if (stage && keyword !== "FROM") stage.copiesFrom.push(...sourcesOf(keyword, flags));
  }
  return stages;
}

/** Images and stages that an instruction reads from. */
function sourcesOf(keyword: string, flags: readonly string[]): readonly string[] {
  if (keyword === "COPY") return flags.flatMap((flag) => /^--from=(\S+)$/.exec(flag)?.[1] ?? []);
  if (keyword === "RUN")
    return flags.flatMap((flag) => /^--mount=(?:.*,)?from=([^,]+)/.exec(flag)?.[1] ?? []);
  return [];
}

function platformArgs(): Readonly<Record<string, string>> {
  const arch = imageArchitecture(process.arch);
  const both = (value: string, name: string) => ({ [`BUILD${name}`]: value, [`TARGET${name}`]: value });
  return { ...both(`linux/${arch}`, "PLATFORM"), ...both("linux", "OS"), ...both(arch, "ARCH") };
}

/** `$X`, `${X}`, `${X:-otherwise}`, `${X:+instead}`; what has no value stays as it is. */
function expand(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replace(
    /\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?::([-+])([^}]*))?\})/g,
    (whole, plain: string | undefined, braced: string | undefined, how: string | undefined, word = "") => {
      const value = variables.get(plain ?? braced ?? "") || undefined;
      if (how === "-") return value ?? word;
      if (how === "+") return value === undefined ? "" : word;
      return value ?? whole;
    },
  );
}

function unquoted(text: string): string {
  return /^(["'])(.*)\1$/s.exec(text)?.[2] ?? text;
}
