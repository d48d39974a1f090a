import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { describe, it } from "node:test";
import { makeFolder, skipWithout, startDaemon } from "./daemon.fake.ts";

const has = (command: string, ...args: string[]) => spawnSync(command, args).status === 0;

/** Does what `dotnet exec` is asked to, with assemblies that are shell scripts. */
const DOTNET = `#!/bin/sh
case "$1" in
  --list-runtimes) echo 'Microsoft.NETCore.App 8.0.11 [/usr/share/dotnet/shared/Microsoft.NETCore.App]' ;;
  exec) [ -f "$2" ] || exit 129; exec /bin/sh "$2" "$DOTNET_ROLL_FORWARD" ;;
  *) exit 2 ;;
esac
`;

const ASSEMBLY = `
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime
while :; do
  curl -sS -D /tmp/head -o /tmp/event "$api/invocation/next" || exit 9
  id=$(tr -d '\\r' </tmp/head | sed -n 's/^Lambda-Runtime-Aws-Request-Id: //p')
  curl -sS -o /tmp/said -d "{\\"roll\\":\\"$1\\",\\"handler\\":\\"$_HANDLER\\",\\"as\\":\\"$AWS_EXECUTION_ENV\\",\\"event\\":$(cat /tmp/event)}" "$api/invocation/$id/response"
done
`;

describe("runtimes by name", () => {
  it("runs an executable assembly with the host's dotnet", {
    skip: skipWithout("curl", has("curl", "--version")),
  }, async () => {
    using tools = makeFolder({ dotnet: DOTNET });
    // The function's user looks into it, too.
    chmodSync(tools.path, 0o755);
    using code = makeFolder({ "App.dll": ASSEMBLY, "App.runtimeconfig.json": "{}" });
    using broken = makeFolder({ "App.dll": "exit 0", "App.runtimeconfig.json": "{}" });
    await using daemon = await startDaemon({ env: { PATH: `${tools.path}:${process.env.PATH}` } });

    await daemon.deploy(code.path, "net", "--runtime", "dotnet8", "--handler", "App");
    const { stdout } = await daemon.lambda("invoke", "net", "--data", '{"n":1}');
    assert.deepEqual(JSON.parse(stdout), {
      roll: "Major",
      handler: "App",
      as: "AWS_Lambda_dotnet8",
      event: { n: 1 },
    });

    await daemon.deploy(broken.path, "broken", "--runtime", "dotnet8", "--handler", "App");
    const failed = await daemon.lambda("invoke", "broken", "--data", "{}");
    assert.match(failed.stdout + failed.stderr, /Runtime\.InvalidEntrypoint|has to be an executable/);

    const library = ["--runtime", "dotnet8", "--handler", "App::App.Function::Run"];
    const refused = await daemon.lambda("deploy", code.path, "--name", "library", ...library);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /class library.*executable assembly/s);
    const newer = await daemon.lambda(
      "deploy",
      code.path,
      "--name",
      "newer",
      "--runtime",
      "dotnet10",
      "--handler",
      "App",
    );
    assert.match(newer.stderr, /no \.NET 10 or newer here, only 8\.0\.11/);
  });

  it("runs Ruby with layers, a wrapper and vendored gems", {
    skip: skipWithout("ruby", has("ruby", "--version")),
  }, async () => {
    using layer = makeFolder({
      "ruby/lib/shared.rb": "SHARED = 'from the layer'",
      "ruby/gems/3.3.0/gems/bbb-1.0.0/lib/bbb.rb": "BBB = 'a gem of the layer'",
      "ruby/gems/3.3.0/specifications/bbb-1.0.0.gemspec":
        "Gem::Specification.new { |s| s.name = 'bbb'; s.version = '1.0.0'; s.summary = 'x'; s.authors = ['x'] }",
      wrap: '#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n',
    });
    using code = makeFolder({
      "app.rb": `require "shared"
require "bbb"
def handler(event:, context:)
  raise ArgumentError, "as asked" if event["fail"]
  { shared: SHARED, gem: BBB, wrapped: ENV["WRAPPED"], api: ENV.key?("AWS_LAMBDA_RUNTIME_API") }
end`,
    });
    await using daemon = await startDaemon();
    const published = await daemon.lambda("layer", "publish", "tools", layer.path);
    assert.equal(published.code, 0, published.stderr);
    const flags = ["--runtime", "ruby3.3", "--layer", "tools", "--env", "AWS_LAMBDA_EXEC_WRAPPER=/opt/wrap"];
    await daemon.deploy(code.path, "rb", ...flags);
    const { stdout } = await daemon.lambda("invoke", "rb", "--data", "{}");
    assert.deepEqual(JSON.parse(stdout), {
      shared: "from the layer",
      gem: "a gem of the layer",
      wrapped: "yes",
      api: true,
    });
    const failed = await daemon.control("POST", "/2015-03-31/functions/rb/invocations", { fail: true });
    assert.equal(failed.headers["x-amz-function-error"], "Unhandled");
    assert.deepEqual(
      { ...JSON.parse(failed.text), stackTrace: [] },
      { errorMessage: "as asked", errorType: "Function<ArgumentError>", stackTrace: [] },
    );
    const listed = await daemon.lambda("runtimes");
    assert.match(listed.stdout, /^ruby3\.3 +yes +\d+\.\d+\.\d+/m);
  });
});
