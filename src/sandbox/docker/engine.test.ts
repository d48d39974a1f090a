import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { isPlatformError } from "../../core/errors.ts";
import type { RegistrySettings } from "../../core/image-settings.ts";
import { openContainerStreams } from "./container-streams.ts";
import { Engine } from "./engine.ts";
import { findEngineSocket } from "./engine-address.ts";
import { EngineRefusal } from "./engine-problem.ts";
import { readProgress } from "./progress.ts";
import { RegistryCredentials } from "./registry-auth.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "engine-"));
});
after(() => rm(folder, { recursive: true, force: true }));

let sockets = 0;
async function serve(listener: RequestListener): Promise<AsyncDisposable & { readonly engine: Engine }> {
  sockets += 1;
  const path = join(folder, `${sockets}.sock`);
  const server = createServer(listener).listen(path);
  await once(server, "listening");
  const engine = new Engine(path);
  return {
    engine,
    async [Symbol.asyncDispose]() {
      engine[Symbol.dispose]();
      server.closeAllConnections();
      server.close();
    },
  };
}

const problem = (pattern: RegExp) => (error: unknown) =>
  isPlatformError(error, "EngineUnavailable") && pattern.test(error.message);

describe("an engine", () => {
  it("is told apart: absent, stopped, slow, gone in the middle, too old", async () => {
    using absent = new Engine(join(folder, "none.sock"));
    await assert.rejects(absent.negotiate(), problem(/there is no container engine/));

    const path = join(folder, "stopped.sock");
    const server = createSocketServer().listen(path);
    await once(server, "listening");
    // Closing would remove the socket; an engine that was killed leaves it.
    const { linkSync } = await import("node:fs");
    linkSync(path, `${path}.left`);
    server.close();
    using stopped = new Engine(`${path}.left`);
    await assert.rejects(stopped.negotiate(), problem(/is stopped/));

    await using slow = await serve(() => undefined);
    await assert.rejects(
      slow.engine.json("GET", "/x", { withinMs: 50 }),
      problem(/did not answer GET \/x within/),
    );

    await using half = await serve((_, response) => {
      response.writeHead(200, { "content-length": "100" }).flushHeaders();
      response.write("{");
    });
    await assert.rejects(
      half.engine.json("GET", "/x", { withinMs: 2_000 }),
      problem(/did not answer in full/),
    );

    await using gone = await serve((request) => request.socket.destroy());
    await assert.rejects(gone.engine.json("GET", "/x"), problem(/went away/));

    await using old = await serve((_, response) => response.end('{"ApiVersion":"1.24"}'));
    await assert.rejects(old.engine.negotiate(), problem(/1\.40 or later/));
  });

  it("says why it refuses", async () => {
    await using served = await serve((_, response) =>
      response.writeHead(409).end('{"message":"no such luck"}'),
    );
    await assert.rejects(
      served.engine.json("POST", "/x"),
      (error) => error instanceof EngineRefusal && error.status === 409 && error.message === "no such luck",
    );
  });

  it("is asked in a version that both speak", async () => {
    const paths: string[] = [];
    await using served = await serve((request, response) => {
      paths.push(request.url ?? "");
      response.end('{"ApiVersion":"1.99","Version":"99"}');
    });
    await served.engine.negotiate();
    await served.engine.json("GET", "/info");
    assert.deepEqual(paths, ["/_ping", "/version", "/v1.47/info"]);
  });

  it("is not waited for by whoever has changed his mind", async () => {
    await using served = await serve(() => undefined);
    const reason = new Error("enough");
    const controller = new AbortController();
    const asked = served.engine.json("GET", "/x", { signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(asked, reason);
  });
});

describe("the socket of an engine", () => {
  it("is what DOCKER_HOST says, or the context, as long as it is on this host", async () => {
    assert.equal(findEngineSocket({ DOCKER_HOST: "unix:///a/b.sock" }), "/a/b.sock");
    assert.throws(
      () => findEngineSocket({ DOCKER_HOST: "tcp://10.0.0.1:2375" }),
      problem(/not on this host/),
    );
    const { createHash } = await import("node:crypto");
    const name = createHash("sha256").update("mine").digest("hex");
    await mkdir(join(folder, "contexts/meta", name), { recursive: true });
    await writeFile(join(folder, "config.json"), '{"currentContext":"mine"}');
    await writeFile(
      join(folder, "contexts/meta", name, "meta.json"),
      '{"Endpoints":{"docker":{"Host":"unix:///c.sock"}}}',
    );
    assert.equal(findEngineSocket({ DOCKER_CONFIG: folder }), "/c.sock");
    assert.throws(
      () => findEngineSocket({ DOCKER_CONFIG: folder, DOCKER_CONTEXT: "other" }),
      problem(/context "other" has no engine/),
    );
    assert.match(findEngineSocket({}), /\.sock$/);
  });
});

describe("the streams of a container", () => {
  const frame = (stream: number, bytes: string) => {
    const header = Buffer.alloc(8);
    header[0] = stream;
    header.writeUInt32BE(Buffer.byteLength(bytes), 4);
    return Buffer.concat([header, Buffer.from(bytes)]);
  };

  for (const size of [1, 3, 8, 1_000]) {
    it(`are told apart in pieces of ${size} bytes`, async () => {
      const connection = new PassThrough();
      const streams = openContainerStreams(connection);
      const all = Buffer.concat([
        frame(1, "out"),
        frame(2, "err"),
        frame(1, ""),
        frame(1, "put\n"),
        frame(2, "or\n"),
      ]);
      const read = Promise.all([text(streams.stdout), text(streams.stderr)]);
      for (let at = 0; at < all.length; at += size) connection.write(all.subarray(at, at + size));
      connection.end();
      assert.deepEqual(await read, ["output\n", "error\n"]);
      await streams.ended;
    });
  }
});

describe("progress", () => {
  it("is shown line by line, and its error is told with the last lines", async () => {
    const shown: string[] = [];
    const answer = new PassThrough();
    const read = readProgress(answer, (line) => shown.push(line));
    answer.write(
      '{"stream":"Step 1/2 : FROM x\\n"}\n{"stream":"half "}\n{"stream":"line\\n"}\n{"status":"Down","id":"abc","progressDetail":{"current":1}}\n',
    );
    answer.end('{"status":"Pulled","id":"abc"}\nnot json\n{"error":"it broke"}\n');
    assert.match((await read) ?? "", /^it broke\nStep 1\/2 : FROM x\nhalf line\nabc: Pulled$/);
    assert.deepEqual(shown, ["Step 1/2 : FROM x", "half line", "abc: Pulled"]);
  });
});

describe("credentials of registries", () => {
  it("are what docker login has left, for the registry that the image names", async () => {
    const auth = Buffer.from("me:se:cret").toString("base64");
    await writeFile(
      join(folder, "config.json"),
      JSON.stringify({ auths: { "r.example.com": { auth }, "x.example.com": {} } }),
    );
    const environment = { DOCKER_CONFIG: folder };
    let own: RegistrySettings | undefined;
    const read = (reference?: string) => {
      const credentials = new RegistryCredentials(environment, own);
      const found = reference === undefined ? credentials.ofAll() : credentials.of(reference);
      assert.equal((found?.length ?? 0) % 4, 0, "engines want the padding");
      return found && JSON.parse(Buffer.from(found, "base64url").toString("utf8"));
    };
    const logged = { username: "me", password: "se:cret", serveraddress: "r.example.com" };
    assert.deepEqual(read("r.example.com/a:1"), logged);
    assert.equal(read("a/b:1"), undefined);
    assert.equal(read("x.example.com/b"), undefined);
    assert.deepEqual(read(), { "r.example.com": logged });
    assert.equal(new RegistryCredentials({}, undefined).of("a"), undefined);
    // What the daemon is configured with wins, and is read anew each time.
    const passwordFile = join(folder, "password");
    own = { place: "r.example.com/team", user: "you", passwordFile };
    assert.throws(() => read("r.example.com/a"), /registry-password-file: cannot read/);
    await writeFile(passwordFile, "pass:word\n");
    assert.deepEqual(read("r.example.com/a"), { ...logged, username: "you", password: "pass:word" });
    assert.equal(read("a/b"), undefined);
  });
});
