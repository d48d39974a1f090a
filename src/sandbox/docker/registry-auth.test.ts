import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { failingBase, RegistryCredentials } from "./registry-auth.ts";

const HUB = "https://index.docker.io/v1/";
const NONE_SENT = 'Head "http://reg.example:5000/v2/base/manifests/1": no basic auth credentials';
const REFUSED = "unauthorized: authentication required";

describe("credentials of registries", () => {
  let folder = "";
  let file = "";

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "auth-"));
    file = join(folder, "config.json");
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const withConfig = async (config: unknown, own?: ConstructorParameters<typeof RegistryCredentials>[1]) => {
    await writeFile(file, typeof config === "string" ? config : JSON.stringify(config));
    return new RegistryCredentials({ DOCKER_CONFIG: folder }, own);
  };
  const auth = (user: string) => ({ auth: Buffer.from(`${user}:secret`).toString("base64") });
  const userFor = (credentials: RegistryCredentials, reference: string) => {
    const header = credentials.of(reference);
    return header && JSON.parse(Buffer.from(header, "base64url").toString()).username;
  };

  it("are found however the server is written", async () => {
    const credentials = await withConfig({
      auths: { [HUB]: auth("hub"), "https://old.example/v1/": auth("old"), "reg.example:5000": auth("reg") },
    });
    for (const [reference, user] of [
      ["team/private:1", "hub"],
      ["docker.io/team/private:1", "hub"],
      ["index.docker.io/team/private:1", "hub"],
      ["old.example/a:1", "old"],
      ["reg.example:5000/a@sha256:1", "reg"],
      ["reg.example/a", undefined],
    ] as const)
      assert.equal(userFor(credentials, reference), user, reference);
  });

  it("that are missing are said to be, with where they would be looked for", async () => {
    const none = await withConfig({});
    assert.equal(
      none.remedy("reg.example:5000/base:1", NONE_SENT),
      `reg.example:5000 asks for credentials, and there are none for it in ${file}: docker login reg.example:5000 as lambdad's user, or set registry-user and registry-password-file`,
    );
    const helped = await withConfig({ auths: { "reg.example:5000": {} }, credsStore: "desktop" });
    assert.match(
      helped.remedy("reg.example:5000/base:1", REFUSED) ?? "",
      /are none for it in .*config\.json: docker-credential-desktop may have them, which lambdad does not run; take credsStore and credHelpers out of that file and docker login/,
    );
    const broken = await withConfig("{ not json");
    assert.match(
      broken.remedy("reg.example:5000/base:1", REFUSED) ?? "",
      /asks for credentials, and .*config\.json cannot be read: .*JSON/,
    );
  });

  it("that are refused are said to be, with whose they are", async () => {
    const logged = await withConfig({ auths: { "reg.example:5000": auth("ada") } });
    assert.equal(
      logged.remedy("reg.example:5000/base:1", REFUSED),
      `reg.example:5000 refuses what ${file} has for the user "ada": docker login reg.example:5000 anew as lambdad's user`,
    );
    const passwordFile = join(folder, "password");
    await writeFile(passwordFile, "secret\n");
    const own = await withConfig({}, { place: "reg.example:5000/team", user: "lambdad", passwordFile });
    assert.equal(
      own.remedy("reg.example:5000/base:1", "unauthorized"),
      `reg.example:5000 refuses the password of registry-user "lambdad" in ${passwordFile}: check both`,
    );
  });

  it("have nothing to do with other failures", async () => {
    const credentials = await withConfig({});
    assert.equal(credentials.remedy("reg.example:5000/x:1", "manifest unknown"), undefined);
    // Of Docker Hub this is also what a mistyped name is answered with.
    assert.equal(
      credentials.remedy(
        "nobody/nothing:1",
        "pull access denied for nobody/nothing, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
      ),
      undefined,
    );
  });

  it("are wanted for the base that a build stopped at", () => {
    for (const [problem, base] of [
      [
        "unauthorized\nStep 1/2 : FROM a/b:1\nStep 3/4 : FROM reg.example:5000/base:1 AS end",
        "reg.example:5000/base:1",
      ],
      [
        "unauthorized\nSTEP 1/2: FROM --platform=linux/amd64 reg.example:5000/base:1",
        "reg.example:5000/base:1",
      ],
      ["ERROR: failed to solve: reg.example:5000/base:1: unauthorized", "reg.example:5000/base:1"],
      ["unauthorized\n#2 [internal] load metadata for reg.example:5000/base:1", "reg.example:5000/base:1"],
      ["unauthorized\nStep 1/2 : FROM $BASE", undefined],
      ["unauthorized", undefined],
    ] as const)
      assert.equal(failingBase(problem), base, problem);
  });
});
