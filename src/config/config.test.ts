import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { type Config, readConfig } from "./config.ts";

const HOME = { HOME: "/home/ada", XDG_DATA_HOME: "/home/ada/data" };

function configOf(argv: string[], env: Record<string, string> = {}): Config {
  const read = readConfig(argv, { ...HOME, ...env });
  assert.equal(read.kind, "config");
  return read.kind === "config" ? read.config : assert.fail();
}

function problemsOf(argv: string[], env: Record<string, string> = {}): string[] {
  try {
    readConfig(argv, { ...HOME, ...env });
  } catch (error) {
    assert.ok(isPlatformError(error, "ConfigurationInvalid"));
    return error.message.split("\n");
  }
  return assert.fail("no problem was found");
}

function withFile(text: string, use: (file: string) => void): void {
  const dir = mkdtempSync(join(tmpdir(), "lambdad-config-"));
  const file = join(dir, "lambdad.yaml");
  writeFileSync(file, text);
  try {
    use(file);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

describe("readConfig", () => {
  it("has a default for everything", () => {
    assert.deepEqual(configOf([]), {
      gateway: { host: "127.0.0.1", port: 8080 },
      control: { host: "127.0.0.1", port: 8081 },
      dataDir: "/home/ada/data/lambdad",
      allowUnsandboxed: false,
      domains: ["localhost"],
      controlHosts: [],
      showFunctionErrors: true,
      accountId: "000000000000",
      region: "us-east-1",
      instancesMax: 1_000,
      idleMsMax: 600_000,
      idleMibMax: Math.round(totalmem() / 2 ** 20 / 4),
      freezeAfterMs: 5_000,
      readyMibMax: Math.max(64, Math.round(totalmem() / 2 ** 20 / 100)),
      importSetsMax: 4,
      eventResultsMs: 86_400_000,
      deadLettersMs: 1_209_600_000,
      privateDestinations: false,
      fault: undefined,
      sqsEndpoint: undefined,
      sqsAccessKeyId: undefined,
      sqsSecretFile: undefined,
      logLevel: "info",
      concurrencyMax: undefined,
      unreservedMin: 0,
      requestsPerSecondMax: undefined,
      streamBytesMax: 200 * 1_048_576,
      urlPermissions: "off",
      imageVersionsMax: 20,
      imageBuild: { limitMs: 900_000, memoryBytes: 4 * 2 ** 30, cpus: 2 },
      imageDiskBytesMax: 50 * 2 ** 30,
      registry: undefined,
      imageBases: { flavour: "aws", ofRuntime: new Map() },
      imageRefreshMs: 86_400_000,
      imageRefreshGoesLive: false,
    });
  });

  it("lets flags win over the environment, and the environment over the file", () => {
    withFile("region: eu-west-1\naccount: '111111111111'\nlog_level: warn # quiet\n", (file) => {
      const config = configOf(["--region", "eu-west-3", "--config", file], {
        LAMBDAD_REGION: "eu-west-2",
        LAMBDAD_ACCOUNT: "222222222222",
      });
      assert.deepEqual(
        [config.region, config.accountId, config.logLevel],
        ["eu-west-3", "222222222222", "warn"],
      );
    });
  });

  it("opens the gateway with --public, and then hides what functions' errors say", () => {
    const config = configOf(["--public", "--gateway", "127.0.0.1:80"]);
    assert.deepEqual([config.gateway, config.showFunctionErrors], [{ host: "0.0.0.0", port: 80 }, false]);
  });

  it("reads addresses of IPv6 and without a host", () => {
    const config = configOf(["--gateway", "[::1]:0", "--control", ":9"]);
    assert.deepEqual(
      [config.gateway, config.control],
      [
        { host: "::1", port: 0 },
        { host: "127.0.0.1", port: 9 },
      ],
    );
  });

  it("reports all problems together, each with its place, its value and what was expected", () => {
    withFile("gatway: 1:2\nregion: {a: 1}\nidle-timeout: soon\n", (file) => {
      const problems = problemsOf(["--config", file, "--control", "http"], {
        LAMBDAD_ACCOUNT: "12",
        LAMBDAD_DAAT: "x",
      });
      assert.deepEqual(
        problems.map((line) => line.slice(0, line.indexOf(";") < 0 ? undefined : line.indexOf(";"))),
        [
          "LAMBDAD_DAAT: no such setting",
          `${file}:1: no such setting "gatway"`,
          `${file}:2: expected a plain value for "region"`,
          '--control: expected HOST:PORT with a port from 0 to 65535, got "http"',
          'LAMBDAD_ACCOUNT: expected 12 digits, got "12"',
          `${file}:3: expected a whole number from 1 to 86400, got "soon"`,
        ],
      );
    });
  });

  for (const [why, argv, expected] of [
    ["a flag that does not exist", ["--port", "1"], "--port"],
    ["a port above 65535", ["--gateway", "a:65536"], "65535"],
    ["a control address that is not loopback", ["--control", "0.0.0.0:8081"], "not a loopback address"],
    ["a file that is not there", ["--config", "/nowhere/x.yaml"], "cannot read"],
    ["a file that is no YAML", ["--config", import.meta.filename], "expected|end"],
    ["a registry without a host", ["--registry", "team/images"], "HOST"],
    [
      "half of a registry's credentials",
      ["--registry", "r:5000", "--registry-user", "me"],
      "registry-password-file is missing",
    ],
    ["bases that are none", ["--image-bases", "tiny"], "aws or slim"],
    ["another policy", ["--image-refresh-policy", "yes"], "publish, live"],
    ["an unknown log level", ["--log-level", "loud"], "one of debug, info, warn, error"],
  ] as const) {
    it(`refuses ${why}`, () => assert.match(problemsOf([...argv]).join(), new RegExp(expected)));
  }
});
