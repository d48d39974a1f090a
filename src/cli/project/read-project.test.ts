import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { CliError } from "../cli-error.ts";
import { nearest } from "../nearest.ts";
import { readProject } from "./read-project.ts";

const folder = await mkdtemp(join(tmpdir(), "lambda-project-"));
after(() => rm(folder, { recursive: true, force: true }));

async function read(text: string, environment?: string, variables: Record<string, string> = {}) {
  await writeFile(join(folder, "lambda.yaml"), text);
  return (await readProject(folder, environment, variables)).sections;
}

/** What is said about a file that is wrong, line by line. */
async function complaints(text: string, variables: Record<string, string> = {}): Promise<string[]> {
  try {
    await read(text, undefined, variables);
  } catch (error) {
    assert.ok(error instanceof CliError, String(error));
    assert.equal(error.code, "ConfigurationInvalid");
    return error.message.split("\n");
  }
  return [];
}

const SHOP = `
project: shop
environment: { STAGE: dev, RETRIES: 3, VERBOSE: true }
functions:
  orders:
    calls: [prices]
    memory: 1G
    timeout: 1m30s
    concurrency: { max: 10, min: 1 }
  prices:
    path: lib/prices
    timeout: 5
schedules:
  nightly: { function: orders, cron: "0 3 * * *", input: { all: true }, jitter: 2m }
environments:
  prod:
    environment: { STAGE: prod }
    functions:
      prices: { memory: 512, timeout: null }
    schedules:
      nightly: null
`;

describe("lambda.yaml", () => {
  it("says how calls are recorded", async () => {
    const { functions } = await read(
      "project: a\nfunctions:\n  a: { recording: { sample: 12.5%, keep: 2d, redact: [ssn, 'body.a[*].b'] } }\n  b: { recording: {} }\n",
    );
    const recording = { sample: 0.125, keep: 172_800_000, redact: ["ssn", "body.a[*].b"] };
    assert.deepEqual([functions.a, functions.b], [{ recording }, { recording: {} }]);
  });

  it("may have functions that call each other, and what is written once used again", async () => {
    const { functions } = await read(
      "project: shop\nfunctions:\n  a: &both { calls: [a, b], memory: 256 }\n  b: *both\n",
    );
    assert.deepEqual(functions.b, { calls: ["a", "b"], memory: 256 });
    assert.deepEqual(functions.a, functions.b);
  });

  it("is read in the units that the API has", async () => {
    const { functions, environment, schedules } = await read(SHOP);
    assert.deepEqual(environment, { STAGE: "dev", RETRIES: "3", VERBOSE: "true" });
    assert.deepEqual(functions.orders, {
      calls: ["prices"],
      memory: 1_024,
      timeout: 90_000,
      concurrency: { max: 10, min: 1 },
    });
    assert.deepEqual(functions.prices, { path: "lib/prices", timeout: 5_000 });
    assert.equal(schedules?.nightly?.jitter, 120_000);
  });

  it("is overridden member by member in an environment, and null takes away", async () => {
    const { functions, environment, schedules } = await read(SHOP, "prod");
    assert.deepEqual(environment, { STAGE: "prod", RETRIES: "3", VERBOSE: "true" });
    assert.deepEqual(functions.prices, { path: "lib/prices", memory: 512 });
    assert.deepEqual(schedules, {});
  });

  it("takes values from the environment, or their defaults, and reads plain ones as what they are", async () => {
    const text = `
project: shop
functions:
  a:
    memory: \${env:MEM:-256}M
    concurrency:
      max: \${env:MAX:-7}
    environment: { URL: "http://\${env:HOST}/x", QUOTED: "\${env:MAX:-7}", EMPTY: "\${env:NONE:-}" }
`;
    const { functions } = await read(text, undefined, { HOST: "example.org" });
    assert.deepEqual(functions.a, {
      memory: 256,
      concurrency: { max: 7 },
      environment: { URL: "http://example.org/x", QUOTED: "7", EMPTY: "" },
    });
    assert.deepEqual(await complaints(text), [
      `lambda.yaml:8:25: $\{env:HOST}: HOST is not set; set it, or give a default: $\{env:HOST:-value}`,
    ]);
  });

  it("has nothing of other environments looked up", async () => {
    const text = `
project: shop
functions: { a: {} }
environments:
  prod: { environment: { KEY: "\${env:PROD_KEY}" } }
`;
    assert.deepEqual(await complaints(text), []);
    await assert.rejects(read(text, "prod"), /PROD_KEY is not set/);
    await assert.rejects(read(text, "prd"), (error: unknown) => {
      assert.ok(error instanceof CliError);
      assert.equal(error.hint, "did you mean --env prod?");
      return true;
    });
  });

  it("takes values as they are, and what is no reference to one", async () => {
    const text = `
project: shop
functions: { a: { command: 'serve --port \${PORT} \${HOST:-::} \${ENV} \${#x} \${' } }
environment:
  LITERAL: $\${env:A} and $\${ev:B}
  NESTED: "<\${env:A}>"
  PRICE: 5$
`;
    const { functions, environment } = await read(text, undefined, { A: "${env:B} $${ ${ev:B}", B: "b" });
    assert.equal(functions.a?.command, "serve --port ${PORT} ${HOST:-::} ${ENV} ${#x} ${");
    assert.deepEqual(environment, {
      LITERAL: "${env:A} and ${ev:B}",
      NESTED: "<${env:B} $${ ${ev:B}>",
      PRICE: "5$",
    });
  });

  it("is complained about where a reference is mistaken", async () => {
    const found = await complaints(
      `project: shop
functions: { a: {} }
environment:
  A: x\${ev:X}
  B: \${ENV:X}
  C: \${env.HOME}
  D: \${self:custom.stage}
  E: \${env:X
  F: "\${env:X:-\${env:Y}}"
  G: \${enc:X:-5}
  H: \${env:}
`,
      { X: "x" },
    );
    const expected = "expected ${env:NAME} or ${env:NAME:-default}, got";
    const literal = "a literal ${ is written $${";
    assert.deepEqual(found, [
      `lambda.yaml:4:6: ${expected} "$\{ev:X}"; did you mean $\{env:X}?`,
      `lambda.yaml:5:6: ${expected} "$\{ENV:X}"; did you mean $\{env:X}?`,
      `lambda.yaml:6:6: ${expected} "$\{env.HOME}"; did you mean $\{env:HOME}?`,
      `lambda.yaml:7:6: ${expected} "$\{self:custom.stage}"; ${literal}`,
      `lambda.yaml:8:6: ${expected} "$\{env:X"; did you mean $\{env:X}?`,
      `lambda.yaml:9:6: ${expected} "$\{env:X:-$\{env:Y}"; ${literal}`,
      `lambda.yaml:10:6: ${expected} "$\{enc:X:-5}"; did you mean $\{env:X}?`,
      `lambda.yaml:11:6: ${expected} "$\{env:}"; ${literal}`,
    ]);
  });

  it("is complained about all at once, each with its place and the nearest word", async () => {
    const found = await complaints(`project: Shop
functions:
  orders:
    memroy: 256M
    timeout: soon
    network: hots
    calls: [price]
  prices:
    concurrency: 5
scheduls: {}
`);
    assert.deepEqual(found, [
      'lambda.yaml:1:10: expected 1 to 40 characters of a-z, 0-9 and -, with no - at an end and no two in a row, got "Shop"',
      'lambda.yaml:4:5: unknown key "memroy"; did you mean memory?',
      'lambda.yaml:5:14: expected a span like 500ms, 3s, 2m or 1h30m, got "soon"',
      'lambda.yaml:6:14: expected host, none, public, got "hots"; did you mean host?',
      "lambda.yaml:9:18: expected a map, got 5",
      'lambda.yaml:10:1: unknown key "scheduls"; did you mean schedules?',
    ]);
  });

  it("is complained about where names do not fit each other", async () => {
    const found = await complaints(`project: shop
secrets: [API_KEY]
functions:
  orders: { calls: [price, "stock*"], path: x, image: y }
  prices: { secrets: [DB] }
schedules:
  a: { function: order, cron: "* * * * *" }
  b: { function: orders }
  c: { function: orders, cron: "* * * * *", rate: 5 minutes }
`);
    const secret =
      "is not set: set it in the environment of this command, or in a file that --env-file names";
    assert.deepEqual(found, [
      `lambda.yaml:2:11: secret API_KEY ${secret}`,
      'lambda.yaml:4:21: there is no function "price" in this project; did you mean prices?',
      "lambda.yaml:4:48: image and path: give one of them",
      `lambda.yaml:5:23: secret DB ${secret}`,
      'lambda.yaml:7:18: there is no function "order" in this project; did you mean orders?',
      "lambda.yaml:8:3: give one of cron, rate and at",
      "lambda.yaml:9:3: give one of cron, rate and at",
    ]);
  });

  it("is complained about where hooks and sources cannot be", async () => {
    const found = await complaints(`project: shop
functions: { orders: {} }
hooks:
  push: { function: order, provider: githb }
  pay: { function: orders, provider: stripe, signature: { header: X-S } }
  plain: { function: orders }
`);
    assert.deepEqual(found, [
      'lambda.yaml:4:38: expected github, gitlab, stripe, slack, hmac, standard, got "githb"; did you mean github?',
      "lambda.yaml:6:3: provider is missing: expected github, gitlab, stripe, slack, hmac, standard",
    ]);
    const crossed = await complaints(`project: shop
functions: { orders: {} }
hooks:
  push: { function: order, provider: github, secret: GITHUB_SECRET }
  pay: { function: orders, provider: stripe, signature: { header: X-S } }
sources:
  a: { function: orders, queue: orders }
  b: { function: orders }
  c: { function: order, nats: "nats://127.0.0.1:4222", endpoint: "http://x", secret: NATS_TOKEN }
  d: { function: orders, queue: "arn:aws:sqs:us-east-1:000000000000:q", stream: S, accessKeyId: K }
`);
    assert.deepEqual(crossed, [
      'lambda.yaml:4:21: there is no function "order" in this project; did you mean orders?',
      "lambda.yaml:5:46: signature: only for provider hmac; stripe says itself how it signs",
      'lambda.yaml:7:33: expected arn:aws:sqs:REGION:ACCOUNT:NAME, got "orders"',
      "lambda.yaml:8:3: give either queue (SQS) or nats, with its stream",
      "lambda.yaml:9:3: stream is missing: which stream of that server is to be read",
      'lambda.yaml:9:18: there is no function "order" in this project; did you mean orders?',
      "lambda.yaml:9:56: endpoint: only for queues of SQS",
      "lambda.yaml:9:86: secret NATS_TOKEN is not set: set it in the environment of this command, or in a file that --env-file names",
      "lambda.yaml:10:3: accessKeyId and secret: give both, or neither",
      "lambda.yaml:10:73: stream: only for streams of NATS",
    ]);
  });

  it("is complained about where a value cannot be, without telling what may be a secret", async () => {
    const found = await complaints(`project: shop
environment: { A: "\${env:}" }
functions: { a: {} }
schedules:
  n: { function: a, cron: x y z }
routes:
  GETT /x: { function: a }
`);
    assert.equal(found.length, 3, found.join("\n"));
    assert.match(
      found[0] ?? "",
      /^lambda\.yaml:2:19: expected \$\{env:NAME\} or \$\{env:NAME:-default\}, got /,
    );
    assert.match(found[1] ?? "", /^lambda\.yaml:5:27: expected five fields/);
    assert.match(
      found[2] ?? "",
      /^lambda\.yaml:7:3: expected a method of .*, got "GETT"; did you mean GET\?$/,
    );
    const others = await complaints(`project: shop
secrets: [whsec_abc==]
functions:
  a:
hooks:
  hk_x: { function: a, provider: github }
  push: { function: a, provider: github, secret: "ghp-token" }
`);
    assert.deepEqual(
      others.map((each) => each.replace(/: expected.*: letters/, ": … letters")),
      [
        "lambda.yaml:2:11: … letters, digits and _; what it got is not shown",
        "lambda.yaml:4:3: expected a map, got nothing; {} is an empty one",
        'lambda.yaml:6:3: "hk_x": expected 1 to 64 characters of A-Z, a-z, 0-9, -, _ and ., with a letter or digit, not beginning with hk_',
        "lambda.yaml:7:50: … letters, digits and _; what it got is not shown",
      ],
    );
  });

  it("asks for secrets once each, if nothing else is wrong", async () => {
    await writeFile(
      join(folder, "lambda.yaml"),
      "project: a\nsecrets: [KEY]\nfunctions: { a: { secrets: [KEY, B] } }\n",
    );
    const asked: string[] = [];
    const ask = async (secret: string) => {
      asked.push(secret);
      return `value of ${secret}`;
    };
    const { variables } = await readProject(folder, undefined, {}, ask);
    assert.deepEqual([asked, variables], [["KEY", "B"], { KEY: "value of KEY", B: "value of B" }]);
    await writeFile(
      join(folder, "lambda.yaml"),
      "project: a\nsecrets: [KEY]\nfunctions: { a: { calls: [b] } }\n",
    );
    await assert.rejects(
      readProject(folder, undefined, {}, ask),
      /secret KEY is not set[\s\S]*no function "b"/,
    );
    assert.equal(asked.length, 2);
  });

  for (const [why, text, expected] of [
    ["nothing at all", "", /1:1: expected "project:"/],
    ["a list", "- a", /1:1: expected "project:"/],
    ["no project", "functions: { a: {} }", /1:1: "project:" is missing/],
    ["no functions", "project: shop", /"functions:" is missing/],
    ["an empty map of functions", "project: shop\nfunctions: {}", /at least one function/],
    ["what is no YAML", "project: shop\nfunctions: [", /lambda.yaml:2:/],
    ["a key twice", "project: a\nproject: b\nfunctions: { a: {} }", /2:1: Map keys must be unique/],
    [
      "an alias that goes round",
      "project: shop\nfunctions: &x { a: *x }",
      /^lambda.yaml:2:20: \*x stands for what it is in: functions → a → functions; write out what is meant$/,
    ],
    [
      "aliases that go round over two corners, in what takes anything",
      "project: shop\nfunctions: { a: {} }\nschedules:\n  n: { function: a, rate: 1 hour, input: &i { more: [&m { again: *i, own: *m }] } }",
      /^lambda.yaml:4:66: \*i .*: input → more → again → input; .*\nlambda.yaml:4:75: \*m .*: .* → own → .*$/,
    ],
    [
      "an alias that goes round in an environment",
      "project: shop\nfunctions: &f { a: { environment: &e { A: b } } }\nenvironments: { prod: &p { functions: *f, environment: *e, schedules: *p } }",
      /^lambda.yaml:3:71: \*p .*: prod → schedules → prod; write/,
    ],
    [
      "an alias of nothing",
      "project: shop\nfunctions: { a: &small { memory: 128 }, b: *smal }",
      /^lambda.yaml:2:44: there is no &smal above; did you mean \*small\?$/,
    ],
    [
      "a function that cannot be called that",
      "project: shop\nfunctions: { a b: {} }",
      /2:14: "a b": expected 1 to 64/,
    ],
    ["a variable with a bad name", "project: a\nenvironment: { 9x: 1 }\nfunctions: { a: {} }", /2:16: "9x"/],
    [
      "recording what cannot be",
      "project: a\nfunctions:\n  a: { recording: { sample: 0%, keep: 40d, redact: [body.], every: 1 } }\n  b: { recording: }",
      /^lambda.yaml:3:29: expected more than 0% and at most 100%, like 10%, got "0%"\nlambda.yaml:3:39: expected a span from 1h to 30d, got "40d"\nlambda.yaml:3:53: expected the name of a header .*, got "body."\nlambda.yaml:3:61: unknown key "every"; .*\nlambda.yaml:4:8: expected a map, got nothing/,
    ],
    [
      "too many slots",
      "project: a\nfunctions: { a: { slots: 1001 } }",
      /2:26: expected at most 1000, got 1001/,
    ],
    [
      "what is too short or too long",
      `project: a\nfunctions: { a: { path: "", command: [], description: ${"x".repeat(257)}, calls: [${"a,".repeat(21)}] } }`,
      /:25: expected at least one character, got ""\n.*:29: expected at least one entry, got \[\]\n.*: expected at most 256 characters, got .*\n.*: expected at most 20 entries, got /,
    ],
    ["half a slot", "project: a\nfunctions: { a: { slots: 1.5 } }", /expected a whole number, got 1.5/],
  ] as const) {
    it(`refuses ${why}`, async () => {
      const found = await complaints(text);
      assert.match(found.join("\n"), expected);
    });
  }
});

it("guesses the nearest word, if any is near", () => {
  const words = ["memory", "timeout", "environment"];
  assert.equal(nearest("memroy", words), "memory");
  assert.equal(nearest("TimeOut", words), "timeout");
  assert.equal(nearest("enviroment", words), "environment");
  assert.equal(nearest("x", words), undefined);
});
