import assert from "node:assert/strict";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, it } from "node:test";

/** What the daemon consists of. */
const ALL_PARTS = [
  "config",
  "http",
  "events",
  "invoker",
  "registry",
  "protocol",
  "sandbox",
  "code",
  "records",
  "store",
  "core",
];

/** Each part of `src/`, and the parts it may import. Read it top-down: nothing points up. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "lambda.ts": ["cli", "core"],
  "lambdad.ts": ["server.ts", "wiring", "config", "core"],
  "server.ts": ["wiring", ...ALL_PARTS],
  wiring: ALL_PARTS,
  // What is made on the developer's machine alone needs no daemon.
  bundle: ["code", "core"],
  cli: ["bundle", "code", "core"],
  http: ["invoker", "registry", "code", "records", "store", "core"],
  events: ["invoker", "registry", "records", "store", "core"],
  invoker: ["protocol", "sandbox", "registry", "code", "records", "core"],
  registry: ["store", "core"],
  protocol: ["sandbox", "core"],
  sandbox: ["core"],
  code: ["core"],
  records: ["core"],
  store: ["core"],
  config: ["core"],
  core: [],
};

/** Folders that implement a port. Only `server.ts`, its `wiring/` and their own files may name them. */
const ADAPTERS = [
  "sandbox/local",
  "sandbox/docker",
  "store/sqlite",
  "store/etcd",
  "protocol/lambda",
  "protocol/http",
  "protocol/stdio",
  "events/sqs",
  "events/nats",
];

/** npm packages, and where they may be imported. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  cborg: ["http/control"],
  commander: ["cli"],
  croner: ["core/cron-calendar.ts"],
  jose: ["http/gateway/jwt.ts"],
  undici: ["protocol/http", "cli", "events/sqs"],
  "@nats-io/jetstream": ["events/nats"],
  "@nats-io/transport-node": ["events/nats"],
  zod: ["http/control", "cli/project"],
  yauzl: ["code"],
  yazl: ["code", "cli", "http/control"],
  tar: ["code", "cli"],
  yaml: ["config", "cli"],
};

/** File roles that exist for tests: `clock.fake.ts`, `driver.contract.ts`, `pool.test.ts`. */
const TEST_ONLY = /\.(test|fake|contract)\.ts$/;

const NO_FOLDERS = /^(lib|util|utils|common|helpers|types|services|managers)$/;

interface Source {
  /** Relative to `src/`. */
  readonly file: string;
  readonly text: string;
}

function complaints({ file, text }: Source): string[] {
  const found: string[] = [];
  const isTest = TEST_ONLY.test(file);
  const code = withoutComments(text);
  for (const specifier of imports(code)) {
    if (specifier.startsWith("node:")) continue;
    if (!specifier.startsWith(".")) {
      if (!isTest) found.push(...packageComplaints(file, specifier));
      continue;
    }
    const target = relative(".", join(dirname(file), specifier));
    if (isTest && !target.startsWith("..")) continue;
    if (target.startsWith("..")) {
      if (!isTest && target !== "../package.json")
        found.push(`${file}: imports ${specifier}, which is outside src`);
      continue;
    }
    if (TEST_ONLY.test(target)) found.push(`${file}: only tests may import ${target}`);
    const [from, to] = [partOf(file), partOf(target)];
    if (from !== to && !MAY_IMPORT[from]?.includes(to)) found.push(`${file}: ${from} may not import ${to}`);
    const adapter = ADAPTERS.find((folder) => target.startsWith(`${folder}/`));
    if (adapter && file !== "server.ts" && partOf(file) !== "wiring" && !file.startsWith(`${adapter}/`)) {
      found.push(`${file}: only server.ts and wiring/ may name the adapter ${adapter}`);
    }
  }
  if (isTest) return found;
  if (
    /\bprocess\.env\b/.test(code) &&
    !["lambdad.ts", "lambda.ts"].includes(file) &&
    partOf(file) !== "cli"
  ) {
    found.push(`${file}: only config/ is given the environment; take values in parts`);
  }
  if (/\bas any\b|:\s*any\b|<any>/.test(code)) found.push(`${file}: no any`);
  if (/\b(TODO|FIXME|XXX)\b/.test(text)) found.push(`${file}: no TODO; do it or write a decision`);
  if (/\bEventEmitter\b/.test(code)) found.push(`${file}: no EventEmitter between modules; call a function`);
  if (/shell:\s*true|import\s*\{[^}]*\bexec(Sync)?\b[^}]*\}\s*from\s*["']node:child_process/.test(code))
    found.push(`${file}: no shell; pass an argument list`);
  return found;
}

/** Files that import each other, each circle once, as `a.ts → b.ts → a.ts`. Types count: they are read together, too. */
function circles(sources: readonly Source[]): string[] {
  const importsOf = new Map<string, readonly string[]>();
  for (const { file, text } of sources) {
    if (TEST_ONLY.test(file)) continue;
    const named = imports(withoutComments(text)).filter((specifier) => specifier.startsWith("."));
    importsOf.set(
      file,
      named.map((specifier) => relative(".", join(dirname(file), specifier))),
    );
  }
  const found: string[] = [];
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]) => {
    const begin = path.indexOf(file);
    if (begin !== -1) found.push([...path.slice(begin), file].join(" → "));
    if (begin !== -1 || done.has(file)) return;
    for (const target of importsOf.get(file) ?? []) walk(target, [...path, file]);
    done.add(file);
  };
  for (const file of [...importsOf.keys()].sort()) walk(file, []);
  return found;
}

/** Functions, values and classes of `src/` that are exported and named in no other file, as `file: name`. */
function unusedExports(sources: readonly Source[], others: readonly string[]): string[] {
  const wordsOf = new Map(sources.map(({ file, text }) => [file, words(text)]));
  const elsewhere = others.map(words);
  return sources.flatMap(({ file, text }) =>
    [...text.matchAll(/^export (?:async )?(?:function\*?|const|let|class) ([\w$]+)/gm)]
      .map((match) => match[1] ?? "")
      .filter((name) => !elsewhere.some((named) => named.has(name)))
      .filter((name) => ![...wordsOf].some(([other, named]) => other !== file && named.has(name)))
      .map((name) => `${file}: ${name} is exported and used nowhere else`),
  );
}

function words(text: string): ReadonlySet<string> {
  return new Set(text.match(/[\w$]+/g));
}

function packageComplaints(file: string, specifier: string): string[] {
  const name = specifier.startsWith("@")
    ? specifier.split("/").slice(0, 2).join("/")
    : (specifier.split("/")[0] ?? "");
  const allowed = PACKAGES[name];
  if (!allowed) return [`${file}: the package ${name} has no line in tidy.test.ts`];
  return allowed.some((place) => file === place || file.startsWith(`${place}/`))
    ? []
    : [`${file}: the package ${name} may be imported in ${allowed.join(", ")} only`];
}

function partOf(file: string): string {
  return file.split("/")[0] ?? file;
}

function imports(code: string): string[] {
  const statements = code.matchAll(
    /^(?:import|export)\s(?:[\w\s{},*$]*\sfrom\s*)?["']([^"']+)["']|\bimport\s*\(\s*["']([^"']+)["']/gm,
  );
  return [...statements].map((match) => match[1] ?? match[2] ?? "");
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

describe("the house", () => {
  const root = join(import.meta.dirname, "..");

  it("has imports that point one way, and nothing that the rules keep out", () => {
    const files = globSync("**/*.ts", { cwd: join(root, "src") });
    const found = files.flatMap((file) =>
      complaints({ file, text: readFileSync(join(root, "src", file), "utf8") }),
    );
    assert.deepEqual(found, []);
  });

  it("has no files that import each other", () => {
    const files = globSync("**/*.ts", { cwd: join(root, "src") });
    const sources = files.map((file) => ({ file, text: readFileSync(join(root, "src", file), "utf8") }));
    assert.deepEqual(circles(sources), []);
  });

  it("exports nothing that nobody else uses", () => {
    const read = (pattern: string) =>
      globSync(pattern, { cwd: root }).map((file) => ({
        file,
        text: readFileSync(join(root, file), "utf8"),
      }));
    const others = ["tests/**/*.ts", "bench/**/*.ts", "bin/*.mjs"].flatMap(read).map(({ text }) => text);
    assert.deepEqual(unusedExports(read("src/**/*.ts"), others), []);
  });

  it("has no folder without a meaning", () => {
    const folders = readdirSync(join(root, "src"), { recursive: true, withFileTypes: true });
    assert.deepEqual(
      folders
        .filter((entry) => entry.isDirectory() && NO_FOLDERS.test(entry.name))
        .map((entry) => entry.name),
      [],
    );
    const parts = readdirSync(join(root, "src")).filter(
      (name) => !TEST_ONLY.test(name) && !(name in MAY_IMPORT),
    );
    assert.deepEqual(parts, []);
  });

  it("has a lockfile without registry addresses and dependencies without install scripts", () => {
    const lock = readFileSync(join(root, "package-lock.json"), "utf8");
    assert.doesNotMatch(lock, /"resolved"|"hasInstallScript"/);
  });

  it("has no large files but those that say why", () => {
    const files = globSync(["src/**/*.ts", "runtimes/**/*"], { cwd: root, withFileTypes: true }).filter(
      (entry) => entry.isFile(),
    );
    const large = files
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((file) => !TEST_ONLY.test(file) && readFileSync(file, "utf8").split("\n").length > LINES_MAX);
    assert.deepEqual(
      large.map((file) => relative(root, file)),
      [],
    );
  });
});

const LINES_MAX = 500;

describe("the check of the house", () => {
  for (const [why, file, text, expected] of [
    [
      "an import that points up",
      "store/x.ts",
      'import { a } from "../http/a.ts";',
      "store may not import http",
    ],
    [
      "an adapter named elsewhere",
      "invoker/x.ts",
      'import { a } from "../sandbox/local/a.ts";',
      "only server.ts and wiring/ may name",
    ],
    ["a fake in product code", "invoker/x.ts", 'import { a } from "./a.fake.ts";', "only tests may import"],
    ["a package without a place", "core/x.ts", 'import a from "left-pad";', "has no line"],
    [
      "a package in the wrong place",
      "core/x.ts",
      'import * as z from "zod";',
      "may be imported in http/control, cli/project only",
    ],
    [
      "a dynamic import that points up",
      "core/x.ts",
      'await import("../cli/a.ts");',
      "core may not import cli",
    ],
    ["the environment", "invoker/x.ts", "const a = process.env.HOME;", "only config/"],
    ["any", "core/x.ts", "const a: any = 1;", "no any"],
    ["a TODO", "core/x.ts", "// TODO later", "no TODO"],
    ["a shell", "code/x.ts", "spawn(a, { shell: true })", "no shell"],
  ] as const) {
    it(`sees ${why}`, () => {
      assert.match(complaints({ file, text }).join(), new RegExp(expected));
    });
  }

  it("sees what is exported for nobody", () => {
    const sources = [
      {
        file: "core/a.ts",
        text: "export function used() {}\nexport const TESTED = 1;\nexport class Left {}\nnew Left();",
      },
      { file: "core/b.ts", text: 'import { used } from "./a.ts";\nused();' },
    ];
    assert.deepEqual(unusedExports(sources, ["assert.equal(TESTED, 1)"]), [
      "core/a.ts: Left is exported and used nowhere else",
    ]);
  });

  it("sees files that import each other, by types or while running, and each circle once", () => {
    const sources = [
      { file: "core/a.ts", text: 'import type { B } from "./b.ts";\nimport { x } from "./x.ts";' },
      { file: "core/b.ts", text: 'export const c = async () => await import("./c.ts");' },
      { file: "core/c.ts", text: 'import { x } from "./x.ts";\nexport { a } from "../core/a.ts";' },
      { file: "core/x.ts", text: '// import { a } from "./a.ts";' },
    ];
    assert.deepEqual(circles(sources), ["core/a.ts → core/b.ts → core/c.ts → core/a.ts"]);
  });
});
