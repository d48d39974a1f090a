/** Streams and subjects of NATS over TLS, with certificates that somebody in the house has signed. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeFolder, skipWithout, startDaemon, until } from "../e2e/daemon.fake.ts";
import { bodies, startEffects } from "./effects.ts";
import { type Certificate, NATS, startNats } from "./servers.ts";

const WITHIN_MS = 120_000;
const skip =
  skipWithout("nats-server", NATS !== undefined) ||
  skipWithout("openssl", spawnSync("openssl", ["version"]).status === 0);

/** For those names, signed by an authority that nobody knows but who has its file. */
function makeCertificate(dir: string, names = "DNS:localhost"): Certificate {
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  openssl("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=house");
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", `subjectAltName=${names}`];
  openssl(
    "req",
    "-x509",
    ...newKey,
    ...signed,
    "-keyout",
    "nats.key",
    "-out",
    "nats.pem",
    "-subj",
    "/CN=nats",
  );
  return { cert: join(dir, "nats.pem"), key: join(dir, "nats.key"), ca: join(dir, "ca.pem") };
}

describe("NATS over TLS", { skip }, () => {
  it("is a source and a destination, for a daemon that knows who signed the certificate", async () => {
    using folder = makeFolder();
    const certificate = makeCertificate(folder.path);
    await using queue = await startNats(certificate);
    await using effects = await startEffects();
    const env = { NODE_EXTRA_CA_CERTS: certificate.ca };
    await using daemon = await startDaemon({ flags: ["--private-destinations"], env });
    const where = await queue.make("secure");
    assert.ok(where.some((flag) => flag.startsWith("tls://")));
    await daemon.deploy(effects.folder, "secure");
    const made = await daemon.lambda("source", "create", "secure", ...where, "--partial-failures");
    assert.equal(made.code, 0, made.stderr);
    await queue.send("secure", bodies(0, 20));
    await until(async () => effects.done.size === 20 && (await queue.count("secure")) === 0, WITHIN_MS);

    using echo = makeFolder({ "index.mjs": "export const handler = async () => 1;" });
    await daemon.deploy(echo.path, "echo");
    await queue.make("results");
    const path = "/2019-09-25/functions/echo/event-invoke-config";
    const Destination = `tls://localhost:${queue.program.port}/results.done`;
    const set = await daemon.control("PUT", path, { DestinationConfig: { OnSuccess: { Destination } } });
    assert.equal(set.status, 200, set.text);
    await daemon.lambda("invoke", "echo", "--async", "--data", "{}");
    await until(async () => (await queue.count("results")) === 1, WITHIN_MS);
  });

  it("holds the certificate against the address where that is no name", async () => {
    using folder = makeFolder({ "index.mjs": "export const handler = async () => 1;" });
    const made = async (names: string) => {
      using certificates = makeFolder();
      const certificate = makeCertificate(certificates.path, names);
      await using queue = await startNats(certificate);
      await using daemon = await startDaemon({ env: { NODE_EXTRA_CA_CERTS: certificate.ca } });
      await daemon.deploy(folder.path, "greet");
      const flags = (await queue.make("secure")).map((flag) =>
        flag.replace("tls://localhost", "tls://127.0.0.1"),
      );
      return await daemon.lambda("source", "create", "greet", ...flags);
    };
    const right = await made("DNS:localhost,IP:127.0.0.1");
    assert.equal(right.code, 0, right.stderr);
    const other = await made("DNS:localhost");
    assert.notEqual(other.code, 0, "the certificate is for another name");
    assert.match(other.stderr, /127\.0\.0\.1.*cert/);
  });

  it("is refused where the certificate is nobody's that is known, and where the server has none", async () => {
    using folder = makeFolder({ "index.mjs": "export const handler = async () => 1;" });
    await using queue = await startNats(makeCertificate(folder.path));
    await using plain = await startNats();
    await using daemon = await startDaemon();
    await daemon.deploy(folder.path, "greet");
    const unknown = await daemon.lambda("source", "create", "greet", ...(await queue.make("secure")));
    assert.notEqual(unknown.code, 0);
    assert.match(unknown.stderr, /tls:.*certificate/i);
    const flags = (await plain.make("open")).map((flag) =>
      flag.replace("nats://127.0.0.1", "tls://localhost"),
    );
    const open = await daemon.lambda("source", "create", "greet", ...flags);
    assert.notEqual(open.code, 0, "what was to be encrypted was not");
    assert.match(open.stderr, /tls:\/\/localhost:\d+: .*tls/i);
  });
});
