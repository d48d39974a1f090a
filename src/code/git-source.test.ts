import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { type CommitOrder, fetchCommit, type GitCredential, type GitSourceParts } from "./git-source.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-git-"));
after(() => rm(root, { recursive: true, force: true }));
let count = 0;

function isThere(tool: string, word: string): boolean {
  return process.env.REQUIRE_ALL === "1" || spawnSync(tool, [word]).status === 0;
}

const noGit = isThere("git", "--version") ? false : "git is not installed";
const noTls = noGit || (isThere("openssl", "version") ? false : "openssl is not installed");

/** As somebody works on it: with a configuration that must not matter. */
const USER = {
  PATH: process.env.PATH ?? "",
  HOME: root,
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "a",
  GIT_AUTHOR_EMAIL: "a@example.org",
  GIT_COMMITTER_NAME: "a",
  GIT_COMMITTER_EMAIL: "a@example.org",
};
const git = (dir: string, ...args: string[]) =>
  execFileSync("git", args, { cwd: dir, env: USER, stdio: ["ignore", "pipe", "ignore"] })
    .toString()
    .trim();

/** A repository with one commit of those files; `-> x` makes a link. */
async function newRepo(files: Record<string, string>): Promise<{ readonly dir: string; commit(): string }> {
  const dir = join(root, `repo ${++count}`);
  await mkdir(dir);
  git(dir, "init", "--quiet", "-b", "main");
  await write(dir, files);
  git(dir, "add", "--all");
  git(dir, "commit", "--quiet", "-m", "one");
  return { dir, commit: () => git(dir, "rev-parse", "HEAD") };
}

async function write(dir: string, files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true });
    if (text.startsWith("-> ")) await symlink(text.slice(3), join(dir, name));
    else await writeFile(join(dir, name), text);
  }
}

interface Got {
  readonly tip: string | undefined;
  /** Content by path; a link would be shown as one. */
  readonly files: Record<string, string>;
  readonly output: readonly string[];
  readonly dir: string;
}

async function get(
  order: Partial<CommitOrder> & Pick<CommitOrder, "repo" | "commit">,
  parts: Partial<GitSourceParts> = {},
  signal = new AbortController().signal,
): Promise<Got> {
  const dir = join(root, `work ${++count}`);
  await mkdir(dir);
  const output: string[] = [];
  const options = { signal, output: (line: string) => void output.push(line) };
  const sourceParts = {
    environment: { PATH: process.env.PATH ?? "" },
    knownHostsFile: join(root, "known hosts"),
    ...parts,
  };
  const wanted = { branch: "main", path: "", credential: undefined, ...order };
  const fetched = await fetchCommit(sourceParts, dir, wanted, options);
  const { file } = await fetched.pack();
  const out = join(dir, "out");
  await mkdir(out);
  execFileSync("tar", ["xf", file, "-C", out]);
  const names = readdirSync(out, { recursive: true, withFileTypes: true });
  const files = Object.fromEntries(
    names
      .filter((entry) => !entry.isDirectory())
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        return [path.slice(out.length + 1), entry.isFile() ? readFileSync(path, "utf8") : "(link)"];
      }),
  );
  return { tip: fetched.tip, files, output, dir };
}

function failsWith(pattern: RegExp) {
  return (error: unknown) => {
    assert.ok(isPlatformError(error, "BuildFailed"), String(error));
    assert.match(error.message, pattern);
    return true;
  };
}

describe("fetchCommit", { skip: noGit }, () => {
  it("takes the files of a commit, also of one that the branch has left behind", async () => {
    const repo = await newRepo({ "index.js": "1", "lib/a.js": "a" });
    const first = repo.commit();
    await write(repo.dir, { "index.js": "2" });
    git(repo.dir, "commit", "--quiet", "-am", "two");
    const second = repo.commit();
    assert.deepEqual((await get({ repo: repo.dir, commit: second })).files, {
      "index.js": "2",
      "lib/a.js": "a",
    });
    const old = await get({ repo: `file://${repo.dir}`, commit: first });
    assert.deepEqual([old.files["index.js"], old.tip], ["1", second]);
  });

  it("makes the same archive of the same code, and leaves nothing of the repository beside it", async () => {
    const repo = await newRepo({ "index.js": "1" });
    const [one, two] = [
      await get({ repo: repo.dir, commit: repo.commit() }),
      await get({ repo: repo.dir, commit: repo.commit() }),
    ];
    const [a, b] = [one, two].map(({ dir }) => readFileSync(join(dir, "code.tar")).toString("base64"));
    assert.equal(a, b);
    assert.deepEqual((await readdir(one.dir)).sort(), ["code.tar", "index", "out"]);
  });

  it("takes one folder, leaves out what .lambdaignore says, and copies what links point at", async () => {
    const repo = await newRepo({
      "fn/index.js": "1",
      "fn/.lambdaignore": "*.log\n/secret/\n",
      "fn/a.log": "x",
      "fn/secret/b": "x",
      "fn/lib/real.js": "real",
      "fn/link.js": "-> lib/real.js",
      "fn/again.js": "-> ./link.js",
      "fn/folder": "-> lib",
      "other/index.js": "no",
    });
    const { files } = await get({ repo: repo.dir, commit: repo.commit(), path: "fn" });
    assert.deepEqual(files, {
      "index.js": "1",
      "lib/real.js": "real",
      "link.js": "real",
      "again.js": "real",
      "folder/real.js": "real",
    });
  });

  for (const [why, link] of [
    ["outside of the folder", "-> ../../etc/passwd"],
    ["by its whole path", "-> /etc/passwd"],
    ["to nothing", "-> nowhere"],
    ["to itself", "-> l"],
    ["to where it is", "-> ."],
  ] as const) {
    it(`refuses a link that leads ${why}`, async () => {
      const repo = await newRepo({ "index.js": "1", "sub/l": link });
      await assert.rejects(get({ repo: repo.dir, commit: repo.commit() }), failsWith(/sub\/l is a link/));
    });
  }

  it("says what is not there", async () => {
    const repo = await newRepo({ "index.js": "1" });
    const commit = repo.commit();
    await assert.rejects(
      get({ repo: repo.dir, commit: `${"0".repeat(39)}1` }),
      failsWith(/git fetch failed/),
    );
    await assert.rejects(get({ repo: join(root, "none"), commit }), failsWith(/git ls-remote failed/));
    await assert.rejects(
      get({ repo: repo.dir, commit, path: "fn" }),
      failsWith(/folder fn is not in commit/),
    );
    await assert.rejects(get({ repo: repo.dir, commit, path: "index.js" }), failsWith(/is no folder/));
    assert.equal((await get({ repo: repo.dir, commit, branch: "gone" })).tip, undefined);
  });

  it("follows no submodule, runs no hook and no filter, and heeds no configuration of its user", async () => {
    const other = await newRepo({ "x.js": "x" });
    const repo = await newRepo({ "index.js": "1", ".gitattributes": "*.js filter=evil\n" });
    const marker = join(root, `ran-${++count}`);
    git(repo.dir, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other.dir, "sub");
    git(repo.dir, "commit", "--quiet", "-m", "two");
    const hook = join(repo.dir, ".git/hooks/post-checkout");
    await write(repo.dir, { ".git/hooks/post-checkout": `#!/bin/sh\ntouch ${marker}\n` });
    await chmod(hook, 0o755);
    git(repo.dir, "config", "filter.evil.smudge", `touch ${marker}`);
    git(repo.dir, "config", "uploadpack.packObjectsHook", `touch ${marker};`);
    await writeFile(
      join(root, ".gitconfig"),
      `[filter "evil"]\nsmudge = touch ${marker}\n[alias]\narchive = !false\n`,
    );
    const got = await get({ repo: repo.dir, commit: repo.commit() });
    assert.equal(got.files["index.js"], "1");
    assert.deepEqual(got.output, ["submodule sub is left out"]);
    assert.equal(existsSync(marker), false);
  });

  it("takes nothing for an option or a program", async () => {
    const marker = join(root, `ran-${++count}`);
    for (const repo of [`--upload-pack=touch ${marker}`, `ext::touch ${marker}`, `-u touch ${marker}`]) {
      await assert.rejects(get({ repo, commit: "a".repeat(40) }), failsWith(/repository: expected/));
    }
    assert.equal(existsSync(marker), false);
  });

  it("ends when it is told to, with all that it started", async () => {
    const hanging = createTcpServer(() => undefined);
    hanging.listen(0, "127.0.0.1");
    await once(hanging, "listening");
    const { port } = hanging.address() as AddressInfo;
    const stop = new AbortController();
    const getting = get({ repo: `http://127.0.0.1:${port}/r`, commit: "a".repeat(40) }, {}, stop.signal);
    const [socket] = await once(hanging, "connection");
    stop.abort(new Error("enough"));
    await assert.rejects(getting, /enough/);
    if (!socket.destroyed) await once(socket.resume(), "close");
    hanging.close();
  });
});

describe("over HTTPS", { skip: noTls }, () => {
  it("sends the token to that server alone, in a header, and shows it nowhere", async (context) => {
    const backend = join(execFileSync("git", ["--exec-path"]).toString().trim(), "git-http-backend");
    if (!existsSync(backend)) {
      assert.notEqual(process.env.REQUIRE_ALL, "1", "git-http-backend is missing");
      context.skip("no git-http-backend here");
      return;
    }
    const repo = await newRepo({ "index.js": "1" });
    const commit = repo.commit();
    await using server = await startGitServer(backend, dirname(repo.dir));
    const address = `${server.url}/${encodeURIComponent("repo")}%20${repo.dir.split(" ").at(-1)}`;
    const parts = { environment: { PATH: process.env.PATH ?? "", GIT_SSL_CAINFO: server.certFile } };
    const credential: GitCredential = { kind: "token", user: "me", token: "t0ken" };
    const got = await get({ repo: address, commit, credential }, parts);
    assert.equal(got.files["index.js"], "1");
    assert.deepEqual([...server.logins], [`Basic ${Buffer.from("me:t0ken").toString("base64")}`]);
    assert.ok(!got.output.join().includes("t0ken"));
    await assert.rejects(
      get({ repo: address, commit, credential: { ...credential, token: "wrong" } }, parts),
      failsWith(/git ls-remote failed/),
    );
    await assert.rejects(
      get({ repo: `${server.url}/redirect`, commit, credential }, parts),
      failsWith(/git ls-remote failed.*redirect/s),
    );
  });
});

interface GitServer extends AsyncDisposable {
  readonly url: string;
  readonly certFile: string;
  readonly logins: ReadonlySet<string>;
}

/** Serves the repositories in a folder to whoever has the token, by git's own CGI program. */
async function startGitServer(backend: string, folder: string): Promise<GitServer> {
  const [keyFile, certFile] = [join(root, "tls.key"), join(root, "tls.crt")];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const made = [
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    keyFile,
    "-out",
    certFile,
    ...subject,
  ];
  execFileSync("openssl", made, { stdio: "ignore" });
  const logins = new Set<string>();
  const server: Server = createServer(
    { key: readFileSync(keyFile), cert: readFileSync(certFile) },
    (request, response) => {
      const url = new URL(request.url ?? "/", "https://localhost");
      const login = request.headers.authorization;
      if (url.pathname.startsWith("/redirect")) {
        response.writeHead(302, { location: "https://127.0.0.1:1/elsewhere" }).end();
        return;
      }
      if (login !== `Basic ${Buffer.from("me:t0ken").toString("base64")}`) {
        response.writeHead(401, { "www-authenticate": "Basic" }).end();
        return;
      }
      logins.add(login);
      const cgi = spawn(backend, [], {
        env: {
          ...USER,
          GIT_PROJECT_ROOT: folder,
          GIT_HTTP_EXPORT_ALL: "1",
          PATH_INFO: decodeURIComponent(url.pathname),
          QUERY_STRING: url.search.slice(1),
          REQUEST_METHOD: request.method,
          CONTENT_TYPE: request.headers["content-type"],
          HTTP_CONTENT_ENCODING: request.headers["content-encoding"],
          GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
          GIT_CONFIG_COUNT: "1",
          GIT_CONFIG_KEY_0: "safe.directory",
          GIT_CONFIG_VALUE_0: "*",
        },
      });
      request.pipe(cgi.stdin);
      const chunks: Buffer[] = [];
      cgi.stdout.on("data", (chunk) => chunks.push(chunk));
      cgi.on("close", () => {
        const bytes = Buffer.concat(chunks);
        const end = bytes.indexOf("\r\n\r\n");
        for (const line of bytes.subarray(0, end).toString().split("\r\n")) {
          const [name = "", ...value] = line.split(": ");
          if (name.toLowerCase() === "status") response.statusCode = Number.parseInt(value.join(": "), 10);
          else response.setHeader(name, value.join(": "));
        }
        response.end(bytes.subarray(end + 4));
      });
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    certFile,
    logins,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

describe("over SSH", { skip: noGit }, () => {
  it("reads with the hook's key alone, and remembers or demands the host's", async () => {
    const repo = await newRepo({ "index.js": "1" });
    const bin = join(root, `bin ${++count}`);
    const told = join(bin, "told");
    await mkdir(bin);
    // Stands for ssh: writes down how it was called, and runs the other side's command here.
    const script = [
      "#!/bin/sh",
      `{ printf '%s\\n' "$@"; env | grep -i agent; } > '${told}'`,
      'while [ $# -gt 2 ]; do if [ "$1" = -i ]; then key=$2; fi; shift; done',
      `cat "$key" > '${told}.key'; stat -c %a "$key" > '${told}.mode'`,
      'exec sh -c "$2"',
    ];
    await writeFile(join(bin, "ssh"), script.join("\n"), { mode: 0o755 });
    const parts = { environment: { PATH: `${bin}:${process.env.PATH}` } };
    const order = { repo: `git@example.org:${repo.dir.slice(1)}`, commit: repo.commit() };
    const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----";
    const credential: GitCredential = { kind: "ssh-key", key, knownHosts: undefined };
    const got = await get(
      { ...order, repo: `ssh://git@example.org${encodeURI(repo.dir)}`, credential },
      parts,
    );
    assert.equal(got.files["index.js"], "1");
    const words = readFileSync(told, "utf8");
    assert.equal(readFileSync(`${told}.key`, "utf8"), `${key}\n`);
    assert.equal(readFileSync(`${told}.mode`, "utf8").trim(), "600");
    for (const word of [
      "BatchMode=yes",
      "IdentitiesOnly=yes",
      "StrictHostKeyChecking=accept-new",
      "git@example.org",
    ]) {
      assert.ok(words.split("\n").includes(word), `${word} in ${words}`);
    }
    assert.equal(existsSync(join(got.dir, "home")), false);
    const pinned: GitCredential = { ...credential, knownHosts: "example.org ssh-ed25519 AAAA" };
    await get({ ...order, repo: `ssh://git@example.org${encodeURI(repo.dir)}`, credential: pinned }, parts);
    assert.match(readFileSync(told, "utf8"), /^StrictHostKeyChecking=yes$/m);
    await assert.rejects(get(order, parts), failsWith(/give the hook one/));
  });
});
