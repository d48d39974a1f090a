/** Layers, extensions, wrappers and JSON logs, through the daemon and its real sandboxes. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { DeleteLayerVersionCommand, UpdateFunctionConfigurationCommand } from "@aws-sdk/client-lambda";
import { eventually, startDaemon, type TestDaemon } from "./daemon.ts";

const mustRun = process.env.REQUIRE_ALL === "1";
const missing = ["bwrap", "python3"].find((tool) => spawnSync(tool, ["--version"]).status !== 0);

describe("in a sandbox", { skip: missing !== undefined && !mustRun && `${missing} is not installed` }, () => {
  let daemon: TestDaemon;
  let listener: string;
  before(async () => {
    daemon = await startDaemon();
    listener = await readFile(join(import.meta.dirname, "telemetry-extension.py"), "utf8");
  });
  after(() => daemon[Symbol.asyncDispose]());

  it("layers are at /opt in order, read-only, and stay when they are deleted", async () => {
    const first = await daemon.publish("first", {
      "nodejs/node_modules/greeting/index.js": "module.exports = 'from the first layer';",
      "nodejs/node_modules/kept/index.js": "module.exports = 'kept';",
      "bin/tool": "#!/bin/sh\necho tool of the first layer\n",
      "lib/data.txt": "library",
    });
    const second = await daemon.publish("second", {
      "nodejs/node_modules/greeting/index.js": "module.exports = 'from the second layer';",
    });
    const code = `
      const { execFileSync } = require("node:child_process");
      const { readFileSync, writeFileSync } = require("node:fs");
      exports.handler = async () => {
        let writing = "allowed";
        try { writeFileSync("/opt/new", ""); } catch (error) { writing = "refused"; }
        return {
          greeting: require("greeting"), kept: require("kept"), writing,
          tool: execFileSync("tool", { encoding: "utf8" }), library: readFileSync("/opt/lib/data.txt", "utf8"),
        };
      };`;
    const name = await daemon.create("layered", { "index.js": code }, { Layers: [first, second] });
    const expected = {
      greeting: "from the second layer",
      kept: "kept",
      writing: "refused",
      tool: "tool of the first layer\n",
      library: "library",
    };
    assert.deepEqual((await daemon.invoke(name)).result, expected);
    await daemon.sdk.send(new DeleteLayerVersionCommand({ LayerName: "first", VersionNumber: 1 }));
    await daemon.sdk.send(
      new UpdateFunctionConfigurationCommand({ FunctionName: name, Layers: [second], Timeout: 9 }),
    );
    const { functionError } = await daemon.invoke(name);
    assert.equal(functionError, "Unhandled");
  });

  it("Python finds the packages of a layer", async () => {
    const layer = await daemon.publish("py", { "python/helper.py": "def greet(): return 'from a layer'\n" });
    const code = "import helper\ndef handler(event, context):\n    return helper.greet()\n";
    const settings = { Runtime: "python3.11", Handler: "main.handler", Layers: [layer] } as const;
    const name = await daemon.create("layered-py", { "main.py": code }, settings);
    assert.deepEqual((await daemon.invoke(name)).result, "from a layer");
  });

  it("a bootstrap may come from a layer", async () => {
    const bootstrap = `#!/usr/bin/env python3
import os, urllib.request as http
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    event = http.urlopen(api + "next")
    body = open(os.environ["LAMBDA_TASK_ROOT"] + "/answer").read().encode()
    http.urlopen(api + event.headers["Lambda-Runtime-Aws-Request-Id"] + "/response", body)
`;
    const layer = await daemon.publish("boot", { bootstrap });
    const settings = { Runtime: "provided.al2023", Handler: "any", Layers: [layer] } as const;
    const name = await daemon.create("booted", { answer: '"by the layer"' }, settings);
    assert.deepEqual((await daemon.invoke(name)).result, "by the layer");
  });

  for (const [runtime, handler, file, code] of [
    [
      "nodejs24.x",
      "index.handler",
      "index.js",
      'exports.handler = async () => { console.log("said by the function"); return 1; };',
    ],
    [
      "nodejs20.x",
      "index.handler",
      "index.js",
      'exports.handler = (e, c, done) => { console.log("said by the function"); done(null, 1); };',
    ],
    [
      "python3.11",
      "main.handler",
      "main.py",
      'def handler(event, context):\n    print("said by the function")\n    return 1\n',
    ],
  ] as const) {
    it(`an external extension accompanies ${runtime}: events, telemetry and its end`, async () => {
      const id = runtime.replaceAll(".", "-");
      const layer = await daemon.publish(`ext-${id}`, { "extensions/listener": listener });
      const settings = { Runtime: runtime, Handler: handler, Layers: [layer] } as const;
      const name = await daemon.create(`extended-${id}`, { [file]: code }, settings);
      for (let round = 0; round < 2; round++) {
        const { result, functionError, log } = await daemon.invoke(name);
        assert.deepEqual([result, functionError], [1, undefined], log);
      }
      // A change lets the old instance go.
      await daemon.sdk.send(new UpdateFunctionConfigurationCommand({ FunctionName: name, Timeout: 8 }));
      const log = async () => (await daemon.log(name)).join("\n");
      await eventually(async () => /\[listener\] event SHUTDOWN spindown/.test(await log()));
      const text = await log();
      assert.equal(text.match(/\[listener\] event INVOKE/g)?.length, 2);
      for (const type of [
        "platform.initStart",
        "platform.telemetrySubscription",
        "platform.initRuntimeDone",
        "platform.initReport",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
        "function",
      ]) {
        assert.match(
          text,
          new RegExp(`\\[listener\\] told ${type.replace(".", "\\.")}`),
          `${type} in ${text}`,
        );
      }
      assert.match(text, /\[listener\] heard .*said by the function/);
    });
  }

  it("an extension that leaves fails the call, and the next call has a new one", async () => {
    const leaver = `#!/usr/bin/env python3
import os, urllib.request as http
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2020-01-01/extension/"
request = http.Request(api + "register", b'{"events":["INVOKE"]}', {"Lambda-Extension-Name": "leaver"})
id = http.urlopen(request).headers["Lambda-Extension-Identifier"]
http.urlopen(http.Request(api + "event/next", headers={"Lambda-Extension-Identifier": id}))
os._exit(4)
`;
    const layer = await daemon.publish("leaver", { "extensions/leaver": leaver });
    const code = "exports.handler = () => new Promise((done) => setTimeout(done, 2000));";
    const name = await daemon.create("left", { "index.js": code }, { Layers: [layer] });
    for (let round = 0; round < 2; round++) {
      const { result, functionError } = await daemon.invoke(name);
      assert.equal(functionError, "Unhandled");
      assert.equal(Object(result).errorType, "Extension.Crash");
      assert.match(
        Object(result).errorMessage,
        /^RequestId: [0-9a-f-]{36} Error: extension leaver: exit status 4$/,
      );
    }
  });

  it("a wrapper runs the runtime, and a missing one ends with 127", async () => {
    const wrapper = '#!/bin/sh\nexport WRAPPED="by $0"\nexec "$@"\n';
    const code = "exports.handler = async () => process.env.WRAPPED;";
    const environment = (path: string) => ({ Environment: { Variables: { AWS_LAMBDA_EXEC_WRAPPER: path } } });
    const files = { "index.js": code, wrapper };
    const name = await daemon.create("wrapped", files, environment("/var/task/wrapper"));
    assert.equal((await daemon.invoke(name)).result, "by /var/task/wrapper");
    const lost = await daemon.create("unwrapped", files, environment("/var/task/nothing"));
    const { result } = await daemon.invoke(lost);
    assert.equal(Object(result).errorType, "Runtime.ExitError");
    assert.match(Object(result).errorMessage, /exit status 127$/);
  });

  it("an adapter in a layer takes the runtime's place, as Lambda Web Adapter does", async () => {
    const adapter = `#!/usr/bin/env python3
import json, os, time, urllib.request as http
base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]
request = http.Request(base + "/2020-01-01/extension/register", b'{"events":[]}', {"Lambda-Extension-Name": "adapter"})
id = http.urlopen(request).headers["Lambda-Extension-Identifier"]
import threading
threading.Thread(target=lambda: http.urlopen(http.Request(base + "/2020-01-01/extension/event/next", headers={"Lambda-Extension-Identifier": id})), daemon=True).start()
while True:
    try:
        http.urlopen("http://127.0.0.1:8123/health")
        break
    except OSError:
        time.sleep(0.02)
while True:
    event = http.urlopen(base + "/2018-06-01/runtime/invocation/next")
    body = http.urlopen(http.Request("http://127.0.0.1:8123/", event.read())).read()
    http.urlopen(base + "/2018-06-01/runtime/invocation/" + event.headers["Lambda-Runtime-Aws-Request-Id"] + "/response", body)
`;
    const layer = await daemon.publish("adapter", {
      "extensions/adapter": adapter,
      bootstrap: '#!/bin/sh\nexec "$LAMBDA_TASK_ROOT/$_HANDLER"\n',
    });
    const app = `#!/usr/bin/env node
require("node:http").createServer((request, response) => {
  request.on("data", (body) => response.end(JSON.stringify({ served: String(body) }))).on("end", () => response.end());
}).listen(8123, "127.0.0.1");
`;
    const name = await daemon.create(
      "adapted",
      { "run.sh": `#!/bin/sh\nexec ${process.execPath} app.js\n`, "app.js": app },
      {
        Handler: "run.sh",
        Layers: [layer],
        Environment: { Variables: { AWS_LAMBDA_EXEC_WRAPPER: "/opt/bootstrap" } },
      },
    );
    assert.deepEqual((await daemon.invoke(name, { a: 1 })).result, { served: '{"a":1}' });
  });

  for (const [runtime, handler, file, code] of [
    [
      "nodejs24.x",
      "index.handler",
      "index.js",
      'exports.handler = async () => { console.debug("low"); console.warn("high"); };',
    ],
    [
      "python3.11",
      "main.handler",
      "main.py",
      'import logging\ndef handler(event, context):\n    logging.debug("low")\n    logging.warning("high")\n',
    ],
  ] as const) {
    it(`${runtime} writes a JSON log at the level that is asked for`, async () => {
      const settings = { Runtime: runtime, Handler: handler, LoggingConfig: { LogFormat: "JSON" } } as const;
      const name = await daemon.create(`json-${runtime.replaceAll(".", "-")}`, { [file]: code }, settings);
      const { log } = await daemon.invoke(name);
      const lines = log
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      assert.deepEqual(
        lines.map(({ type, level, message }) => type ?? `${level} ${message}`),
        ["platform.start", `${runtime.startsWith("node") ? "WARN" : "WARNING"} high`, "platform.report"],
      );
      assert.equal(lines.at(-1).record.status, "success");
      await daemon.sdk.send(
        new UpdateFunctionConfigurationCommand({
          FunctionName: name,
          LoggingConfig: { LogFormat: "JSON", ApplicationLogLevel: "ERROR", SystemLogLevel: "WARN" },
        }),
      );
      assert.equal((await daemon.invoke(name)).log, "");
    });
  }

  it("a function finds Lambda's environment", async () => {
    const code = "exports.handler = async () => process.env;";
    const name = await daemon.create(
      "environment",
      { "index.js": code },
      { Environment: { Variables: { TZ: ":UTC" } } },
    );
    const found = Object((await daemon.invoke(name)).result);
    const expected = {
      AWS_EXECUTION_ENV: "AWS_Lambda_nodejs24.x",
      AWS_LAMBDA_FUNCTION_NAME: "environment",
      AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "256",
      AWS_LAMBDA_INITIALIZATION_TYPE: "on-demand",
      AWS_LAMBDA_LOG_GROUP_NAME: "/aws/lambda/environment",
      AWS_REGION: "us-east-1",
      AWS_DEFAULT_REGION: "us-east-1",
      AWS_XRAY_CONTEXT_MISSING: "LOG_ERROR",
      LAMBDA_TASK_ROOT: "/var/task",
      LAMBDA_RUNTIME_DIR: "/var/runtime",
      LANG: "en_US.UTF-8",
      LD_LIBRARY_PATH: "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
      NODE_PATH:
        "/opt/nodejs/node24/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task",
      PATH: "/usr/local/bin:/usr/bin:/bin:/opt/bin",
      PWD: "/var/task",
      SHLVL: "0",
      TZ: ":UTC",
      _HANDLER: "index.handler",
    };
    assert.deepEqual(Object.fromEntries(Object.keys(expected).map((key) => [key, found[key]])), expected);
  });
});
