import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fakeFunction, startFakeControl } from "./control-server.fake.ts";
import { openLambda } from "./lambda-process.fake.ts";

describe("lambda", () => {
  it("suggests what may have been meant, and exits with 2", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    assert.deepEqual(await lambda.run(["deplyo", "x"]), {
      exitCode: 2,
      stdout: "",
      stderr: "error: unknown command 'deplyo'\nhint:  did you mean deploy?\n",
    });
    assert.deepEqual(await lambda.run(["list", "--quite"]), {
      exitCode: 2,
      stdout: "",
      stderr: "error: unknown option '--quite'\nhint:  did you mean --quiet?\n",
    });
  });

  it("says whose help to read where nothing is like what was written", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    for (const [args, command] of [
      [["zzzzzzzz"], "lambda --help shows all commands"],
      [["--zzzzzzzz"], "lambda --help shows all commands"],
      [["schedule", "--zzzzzzzz"], "lambda schedule --help shows how it is used"],
      [["schedule"], "lambda schedule --help shows how it is used"],
      [["events", "zzzzzzzz"], "lambda events --help shows how it is used"],
      [["dlq", "purge"], "lambda dlq purge --help shows how it is used"],
      [["schedule", "next", "x", "--zzzzzzzz"], "lambda schedule next --help shows how it is used"],
    ] as const) {
      const ran = await lambda.run(args);
      assert.deepEqual([ran.exitCode, ran.stderr.split("\n")[1]], [2, `hint:  ${command}`], args.join(" "));
    }
  });

  it("says which function may have been meant", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    const missing = (name: string, message = `function "${name}" does not exist; deploy it first`) =>
      ({ status: 404, json: { error: { code: "FunctionNotFound", message } } }) as const;
    for (const name of ["gret", "zzzzzzzz"]) server.on(`GET /v1/functions/${name}`, missing(name));
    const hintOf = async (...args: string[]) => (await lambda.run(args)).stderr.split("\n")[1];
    assert.equal(await hintOf("info", "gret"), "hint:  lambda list shows what there is", "it cannot ask");
    server.on("GET /v1/functions", { json: { functions: [fakeFunction("greet"), fakeFunction("report")] } });
    assert.equal(await hintOf("info", "gret"), "hint:  did you mean greet?");
    assert.equal(await hintOf("info", "zzzzzzzz"), "hint:  lambda list shows what there is");
    server.on("POST /2015-03-31/functions/gret/invocations", {
      status: 404,
      text: '{"Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:gret:7"}',
      headers: { "x-amzn-errortype": "ResourceNotFoundException" },
    });
    assert.equal(await hintOf("invoke", "gret:7", "-d", "{}"), "hint:  did you mean greet?");
  });

  it("shows help on stdout when asked, and on stderr with 2 when no command is given", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    const asked = await lambda.run(["--help"]);
    assert.equal(asked.exitCode, 0);
    assert.match(asked.stdout, /^Usage: lambda \[options\] \[command\]/);
    const alone = await lambda.run([]);
    assert.deepEqual([alone.exitCode, alone.stdout], [2, ""]);
    assert.match(alone.stderr, /^Usage: lambda/);
  });

  it("says its version wherever that is asked before a command", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    for (const args of [["--version"], ["-V"], ["--json", "--version"], ["--server", "http://x", "-V"]]) {
      const ran = await lambda.run(args);
      assert.match(ran.stdout, /^\d+\.\d+\.\d+\n$/);
      assert.equal(ran.exitCode, 0);
    }
  });

  it("says how to start a server where none answers, and exits with 6", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    assert.deepEqual(await lambda.run(["list"]), {
      exitCode: 6,
      stdout: "",
      stderr:
        "error: cannot reach lambdad at http://127.0.0.1:1: nothing listens there\n" +
        "hint:  start it with: lambdad   (or name another with --server or LAMBDA_SERVER)\n",
    });
  });

  it("shapes errors as JSON when asked", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    const ran = await lambda.run(["list", "--json"]);
    assert.deepEqual(JSON.parse(ran.stderr), {
      error: {
        code: "ServerUnreachable",
        message: "cannot reach lambdad at http://127.0.0.1:1: nothing listens there",
        hint: "start it with: lambdad   (or name another with --server or LAMBDA_SERVER)",
      },
    });
  });

  for (const [status, code, exitCode] of [
    [400, "InvalidRequest", 7],
    [401, "Unauthenticated", 4],
    [403, "Forbidden", 4],
    [404, "FunctionNotFound", 3],
    [409, "ResourceConflict", 5],
    [412, "RevisionChanged", 5],
    [413, "PayloadTooLarge", 7],
    [429, "TooManyInvocations", 8],
    [503, "StoreUnavailable", 8],
  ] as const) {
    it(`exits with ${exitCode} when the server answers ${status} ${code}`, async () => {
      await using server = await startFakeControl();
      await using lambda = await openLambda(server.url);
      server.on("GET /v1/functions/greet", {
        status,
        json: { error: { code, message: "what \u001b[2J is" } },
      });
      const ran = await lambda.run(["info", "greet"]);
      assert.equal(ran.exitCode, exitCode);
      assert.match(ran.stderr, /^error: what \\x1b\[2J is\n/);
    });
  }

  for (const [what, answer] of [
    ["a web page", { text: "<html>hello</html>" }],
    ["an error of another kind", { status: 502, text: "Bad Gateway" }],
    ["JSON of another kind", { json: { functions: [{ name: "x" }] } }],
    ["a list that is none", { json: { functions: "none" } }],
  ] as const) {
    it(`says that ${what} is not lambdad's`, async () => {
      await using server = await startFakeControl();
      await using lambda = await openLambda(server.url);
      server.on("GET /v1/functions", answer);
      const ran = await lambda.run(["list"]);
      assert.equal(ran.exitCode, 6);
      assert.match(ran.stderr, /does not answer as lambdad does|answer is not understood/);
    });
  }

  it("sends the key, and never shows it", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/functions", { json: { functions: [] } });
    const ran = await lambda.run(["-v", "list"]);
    assert.equal(server.requests[0]?.headers.authorization, "Bearer LKTEST.s3cret");
    assert.match(
      ran.stderr,
      /key: LKTEST \(LAMBDA_KEY\)[\s\S]*> GET http.*\/v1\/functions[\s\S]*< 200 OK after \d+ ms/,
    );
    assert.doesNotMatch(ran.stderr, /s3cret/);
  });

  it("lists functions of all pages", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    const named = (name: string) =>
      fakeFunction(name, { latest: { ...latest, modifiedAt: Date.now() - 5_000_000 } });
    server.on("GET /v1/functions", {
      respond: (response, { query }) =>
        response.end(
          JSON.stringify(
            query.after === undefined
              ? { functions: [named("a-long-name")], next: "a-long-name" }
              : { functions: [named("b")] },
          ),
        ),
    });
    assert.deepEqual(await lambda.run(["ls"]), {
      exitCode: 0,
      stdout:
        "NAME          RUNTIME      VERSION   INSTANCES   CHANGED   URL\n" +
        "a-long-name   nodejs24.x   1         1           83m       http://a-long-name.localhost:8080\n" +
        "b             nodejs24.x   1         1           83m       http://b.localhost:8080\n",
      stderr: "",
    });
    assert.equal((await lambda.run(["list", "-q"])).stdout, "a-long-name\nb\n");
    const json: { functions: { name: string }[] } = JSON.parse((await lambda.run(["list", "--json"])).stdout);
    assert.deepEqual(
      json.functions.map(({ name }) => name),
      ["a-long-name", "b"],
    );
  });

  it("shows a function without the values of its environment", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/functions/greet", { json: fakeFunction("greet") });
    const ran = await lambda.run(["info", "greet"]);
    assert.match(ran.stdout, /^Name: +greet\nURL: +http:\/\/greet\.localhost:8080\n/);
    assert.match(ran.stdout, /\nEnvironment: +TOKEN\n/);
    assert.doesNotMatch(ran.stdout, /s3cret/);
  });

  for (const name of ["", "_hidden", "a b", "../keys", "a/b", "x".repeat(65), "ä"]) {
    it(`refuses ${JSON.stringify(name)} as a name before any request`, async () => {
      await using server = await startFakeControl();
      await using lambda = await openLambda(server.url);
      const ran = await lambda.run(["info", name]);
      assert.equal(ran.exitCode, 2);
      assert.match(ran.stderr, /function name .* expected 1 to 64 characters/);
      assert.deepEqual(server.requests, []);
    });
  }

  it("deletes without asking where nobody could answer", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("DELETE /v1/functions/greet", { status: 204, text: "" });
    assert.deepEqual(await lambda.run(["delete", "greet"]), {
      exitCode: 0,
      stdout: "",
      stderr: "deleted greet\n",
    });
  });

  it("rolls back, and says from where to where", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("POST /v1/functions/greet/rollback", {
      json: { from: 3, to: 2, function: fakeFunction("greet") },
    });
    const ran = await lambda.run(["rollback", "greet", "--to", "2"]);
    assert.deepEqual([ran.stdout, ran.stderr], ["greet is back on version 2 (was 3)\n", ""]);
    assert.equal(server.requests[0]?.body.toString(), '{"to":2}');
  });

  it("lists versions, the newest first", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    const version = (number: number) => ({
      number,
      publishedAt: 1_790_000_000_000,
      description: number === 2 ? "tidy\u202eup" : "",
      isLive: number === 2,
      aliases: number === 1 ? ["prod"] : [],
      changed: number === 2 ? ["code", "memoryMib"] : [],
    });
    server.on("GET /v1/functions/greet/versions", { json: { versions: [version(1), version(2)] } });
    assert.equal(
      (await lambda.run(["versions", "greet"])).stdout,
      "VERSION   PUBLISHED             LIVE   ALIASES   CHANGED           DESCRIPTION\n" +
        "2         2026-09-21 14:13:20   live             code, memoryMib   tidy\\u{202e}up\n" +
        "1         2026-09-21 14:13:20          prod\n",
    );
  });

  it("points an alias at two versions", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("PUT /v1/functions/greet/aliases/prod", {
      json: { name: "prod", version: "2", description: "", split: { version: "3", weight: 0.1 } },
    });
    const ran = await lambda.run(["alias", "set", "greet", "prod", "2", "--split", "3=10%"]);
    assert.equal(ran.stdout, "greet:prod is version 2, 10% to 3\n");
    assert.deepEqual(JSON.parse(server.requests[0]?.body.toString() ?? ""), {
      version: "2",
      split: { version: "3", weight: 0.1 },
    });
  });

  for (const [args, message] of [
    [["alias", "set", "greet", "prod", "0"], /version "0": expected a number from 1 up/],
    [["alias", "set", "greet", "12", "1"], /alias "12": expected 1 to 128 characters/],
    [["alias", "set", "greet", "prod", "2", "--split", "3=150%"], /--split: expected VERSION=SHARE/],
    [["rollback", "greet", "--to", "last"], /--to: expected a whole number from 1 up, got "last"/],
    [["logs", "greet", "--since", "soon"], /--since: expected a span back from now/],
    [["logs", "greet", "-f", "--until", "1h"], /--follow and --until/],
    [
      ["keys", "create", "--scopes", "all"],
      /--scopes: expected some of invoke,read,replay,deploy,admin, got "all"/,
    ],
    [["keys", "create", "--expires", "2020-01-01"], /--expires: "2020-01-01" is not in the future/],
    [["keys", "create", "--secret-from-stdin"], /name its id with --id/],
    [["keys", "revoke", "../x"], /key id "..\/x"/],
    [["env", "set", "greet", "=value"], /expected KEY=VALUE/],
    [["env", "set", "greet", "SECRET"], /expected KEY=VALUE/],
    [["init", "x", "--template", "cobol"], /Allowed choices are nodejs/],
    [["completion", "tcsh"], /Allowed choices are bash, zsh, fish/],
    [["config", "set", "colour", "red"], /Allowed choices are server, key/],
    [["--server", "ftp://x", "list"], /server from --server: expected a URL like http/],
    [["--server", "http://x/path", "list"], /server from --server: expected a URL like http/],
    [["--key", "a\nb", "list"], /key from --key: expected ID.SECRET/],
    [["--use-config", "missing.yaml", "list"], /--use-config: there is no .*missing\.yaml/],
  ] as const) {
    it(`refuses ${args.join(" ")} with 2`, async () => {
      await using lambda = await openLambda("http://127.0.0.1:1");
      const ran = await lambda.run(args);
      assert.equal(ran.exitCode, 2);
      assert.match(ran.stderr, message);
      assert.equal(ran.stdout, "");
    });
  }

  it("prints what AWS tools need", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/status", {
      json: {
        version: "0.1.0",
        nodeVersion: "v26.0.0",
        startedAt: 1,
        gateway: "http://127.0.0.1:8080",
        control: server.url,
        account: "000000000000",
        region: "eu-central-1",
        dataDir: "/var/lib/lambdad",
        isolation: { isIsolated: true, gaps: [] },
      },
    });
    const ran = await lambda.run(["env"], { env: { LAMBDA_KEY: "LKTEST.it's" } });
    assert.equal(
      ran.stdout,
      `export AWS_ENDPOINT_URL_LAMBDA=${server.url}\nexport AWS_ENDPOINT_URL_CLOUDWATCH=${server.url}\n` +
        `export AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=${server.url}\nexport AWS_ENDPOINT_URL_EVENTBRIDGE=${server.url}\n` +
        `export AWS_ENDPOINT_URL_SCHEDULER=${server.url}\nexport AWS_ENDPOINT_URL_CLOUDFORMATION=${server.url}\n` +
        "export AWS_ACCESS_KEY_ID=LKTEST\n" +
        "export AWS_SECRET_ACCESS_KEY='it'\\''s'\nexport AWS_REGION=eu-central-1\n" +
        "export AWS_DEFAULT_REGION=eu-central-1\n",
    );
  });

  it("asks for the name of a runtime to install", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    const ran = await lambda.run(["runtimes", "install", ""]);
    assert.equal(ran.exitCode, 2);
    assert.match(ran.stderr, /runtime: expected a name, got none\n.*lambda runtimes install nodejs24\.x/);
    assert.deepEqual(server.requests, []);
  });

  it("takes over a key pair whose secret is piped in", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    const key = {
      id: "AKIDEXAMPLE123456",
      description: "ci",
      scopes: ["invoke", "deploy"],
      functions: "*",
      createdAt: 1,
    };
    server.on("POST /v1/keys", {
      status: 201,
      json: { key, secret: "given", token: "AKIDEXAMPLE123456.given" },
    });
    const args = ["keys", "create", "--id", key.id, "--secret-from-stdin", "--scopes", "invoke,deploy"];
    const ran = await lambda.run(args, { input: "wJalrXUtnFEMI/K7MDENG\n" });
    assert.equal(ran.exitCode, 0);
    assert.doesNotMatch(ran.stdout, /wJalr/);
    assert.deepEqual(JSON.parse(server.requests[0]?.body.toString() ?? ""), {
      scopes: ["invoke", "deploy"],
      id: key.id,
      secret: "wJalrXUtnFEMI/K7MDENG",
    });
  });

  it("sets and removes variables of a function", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("PATCH /v1/functions/greet", { json: { function: fakeFunction("greet"), version: 4 } });
    const ran = await lambda.run(["env", "set", "greet", "A=1", "B=x=y"]);
    assert.equal(ran.stdout, "greet (version 4) is live\n");
    await lambda.run(["env", "unset", "greet", "A"]);
    assert.deepEqual(
      server.requests.map((request) => JSON.parse(request.body.toString())),
      [{ environment: { set: { A: "1", B: "x=y" }, unset: [] } }, { environment: { set: {}, unset: ["A"] } }],
    );
  });
});

const latest = Object.fromEntries(Object.entries(fakeFunction("x").latest ?? {}));
