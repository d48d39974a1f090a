/** A web application behind an extension that is its runtime, as AWS's Lambda Web Adapter makes it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { freePort } from "../../src/core/free-port.fake.ts";
import { startDaemon } from "./daemon.ts";

const missing = ["bwrap", "python3"].find((tool) => spawnSync(tool, ["--version"]).status !== 0);
const skip = missing !== undefined && process.env.REQUIRE_ALL !== "1" && `${missing} is not installed`;

/** Knows nothing of Lambda. It comes up late, as applications do. */
const APP = `import http.server, os, time
time.sleep(0.3)
class App(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        text = f"{self.command} {self.path} {body.decode()}".encode()
        self.send_response(201)
        self.send_header("x-app", "plain")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    do_GET = do_POST = answer
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["AWS_LWA_PORT"])), App).serve_forever()
`;

/** What the adapter's layer has at /opt/bootstrap: the application instead of the runtime. */
const WRAPPER = '#!/bin/sh\nexec "$LAMBDA_TASK_ROOT/$_HANDLER"\n';

for (const runtime of ["python3.11", "nodejs24.x"] as const) {
  it(`an extension is the runtime of a web application, on ${runtime}`, { skip }, async () => {
    await using daemon = await startDaemon();
    const adapter = await readFile(join(import.meta.dirname, "web-adapter.py"), "utf8");
    const layer = await daemon.publish("adapter", { "extensions/web-adapter": adapter, bootstrap: WRAPPER });
    const files = { "run.sh": "#!/bin/sh\nexec python3 app.py\n", "app.py": APP };
    const name = await daemon.create("web", files, {
      Runtime: runtime,
      Handler: "run.sh",
      Layers: [layer],
      Timeout: 30,
      Environment: {
        Variables: { AWS_LAMBDA_EXEC_WRAPPER: "/opt/bootstrap", AWS_LWA_PORT: String(await freePort()) },
      },
    });
    const event = (path: string, body?: string) => ({
      version: "2.0",
      rawPath: path,
      rawQueryString: "a=1",
      headers: { host: "web.localhost" },
      requestContext: { http: { method: body === undefined ? "GET" : "POST", path } },
      ...(body !== undefined && { body, isBase64Encoded: false }),
    });
    for (const [sent, text] of [
      [event("/one"), "GET /one?a=1 "],
      [event("/two", "hello"), "POST /two?a=1 hello"],
    ] as const) {
      const { result, functionError, log } = await daemon.invoke(name, sent);
      assert.equal(functionError, undefined, `${JSON.stringify(result)} ${log}`);
      const { statusCode, headers, body } = Object(result);
      assert.deepEqual(
        [statusCode, headers["x-app"], Buffer.from(body, "base64").toString()],
        [201, "plain", text],
      );
    }
    assert.ok((await daemon.log(name)).includes("[adapter] the application is ready"));
  });
}
