import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { systemClock } from "../../core/clock.ts";
import { isPlatformError } from "../../core/errors.ts";
import type { JwtAuthorizer, JwtKeys } from "../../core/route.ts";
import { newJwtVerifier, type VerifyJwt } from "./jwt.ts";
import { newKeySetFetch } from "./key-set-fetch.ts";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const otherRsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const SECRET = "a secret that is long enough for HS256";
const NOW_S = Math.floor(Date.now() / 1000);

function jwk(key: KeyObject, kid: string): Record<string, unknown> {
  return { ...key.export({ format: "jwk" }), kid, use: "sig" };
}

const SET: JwtKeys = {
  kind: "set",
  keys: [jwk(rsa.publicKey, "r1"), jwk(otherRsa.publicKey, "r2"), jwk(ec.publicKey, "e1")],
};

function authorizer(change: Partial<JwtAuthorizer> = {}): JwtAuthorizer {
  return { kind: "jwt", issuer: "https://id/", audience: ["app"], scopes: [], keys: SET, ...change };
}

const CLAIMS = { iss: "https://id/", aud: "app", sub: "ann", exp: NOW_S + 60, iat: NOW_S };

const base64url = (text: string | Buffer) => Buffer.from(text).toString("base64url");

type Sign = (input: string) => Buffer;
const byRsa =
  (key = rsa.privateKey): Sign =>
  (input) =>
    sign("sha256", Buffer.from(input), key);
const byEc: Sign = (input) =>
  sign("sha256", Buffer.from(input), { key: ec.privateKey, dsaEncoding: "ieee-p1363" });
const byHmac =
  (secret: string | Buffer): Sign =>
  (input) =>
    createHmac("sha256", secret).update(input).digest();

function token(
  claims: object = CLAIMS,
  header: Readonly<Record<string, unknown>> = { alg: "RS256", kid: "r1" },
  signed: Sign = byRsa(),
): string {
  const input = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}`;
  return `${input}.${base64url(signed(input))}`;
}

const refusesAll = async () => {
  throw new Error("nothing is to be fetched");
};
const verify: VerifyJwt = newJwtVerifier({
  unseal: async (issuer, sealed) => (sealed === `sealed for ${issuer}` ? SECRET : undefined),
  fetchKeys: refusesAll,
  clock: systemClock,
});

const secretKeys: JwtKeys = { kind: "secret", sealed: "sealed for https://id/" };

describe("newJwtVerifier", () => {
  it("takes tokens by RS256, ES256 and HS256, and tells their claims as text, arrays as AWS does", async () => {
    const claims = { ...CLAIMS, n: 1, yes: true, groups: ["a", "b"], deep: { x: [1] } };
    const told = await verify(token(claims), authorizer());
    assert.deepEqual(Object.fromEntries(told.claims), {
      iss: "https://id/",
      aud: "app",
      sub: "ann",
      exp: String(CLAIMS.exp),
      iat: String(CLAIMS.iat),
      n: "1",
      yes: "true",
      groups: "[a b]",
      deep: '{"x":[1]}',
    });
    assert.equal(told.scopes, undefined);
    await verify(token(CLAIMS, { alg: "ES256", kid: "e1" }, byEc), authorizer());
    await verify(token(CLAIMS, { alg: "HS256" }, byHmac(SECRET)), authorizer({ keys: secretKeys }));
  });

  it("takes one of several audiences, and the client where there is none", async () => {
    await verify(token({ ...CLAIMS, aud: ["x", "app"] }), authorizer());
    await verify(token({ ...CLAIMS, aud: "b" }), authorizer({ audience: ["a", "b"] }));
    await verify(token({ ...CLAIMS, aud: undefined, client_id: "app" }), authorizer());
  });

  it("asks for one of the route's scopes", async () => {
    const guarded = authorizer({ scopes: ["read", "write"] });
    for (const claims of [{ scope: "write other" }, { scp: ["read"] }, { scp: "write" }]) {
      assert.ok((await verify(token({ ...CLAIMS, ...claims }), guarded)).scopes?.length);
    }
    for (const claims of [
      {},
      { scope: "" },
      { scope: "readonly" },
      { scp: [] },
      { scp: ["x"], scope: "read" },
    ]) {
      await assert.rejects(verify(token({ ...CLAIMS, ...claims }), guarded), (error) =>
        isPlatformError(error, "Forbidden"),
      );
    }
  });

  const pem = rsa.publicKey.export({ type: "spki", format: "pem" });
  const [head = "", body = "", signature = ""] = token().split(".");
  const refused: readonly (readonly [why: string, token: string, authorizer?: JwtAuthorizer])[] = [
    ["nothing", ""],
    ["no token at all", "abc"],
    ["two parts", `${head}.${body}`],
    ["no signature", `${head}.${body}.`],
    ["algorithm none", token(CLAIMS, { alg: "none" }, () => Buffer.alloc(0))],
    ["algorithm None", token(CLAIMS, { alg: "None" }, () => Buffer.alloc(0))],
    ["no algorithm", token(CLAIMS, { kid: "r1" })],
    ["the public key as the secret of an HMAC", token(CLAIMS, { alg: "HS256", kid: "r1" }, byHmac(pem))],
    [
      "the key's JSON as the secret of an HMAC",
      token(CLAIMS, { alg: "HS256", kid: "r1" }, byHmac(JSON.stringify(jwk(rsa.publicKey, "r1")))),
    ],
    ["an RSA signature where a secret is agreed on", token(), authorizer({ keys: secretKeys })],
    [
      "an HMAC by another secret",
      token(CLAIMS, { alg: "HS256" }, byHmac(`${SECRET}x`)),
      authorizer({ keys: secretKeys }),
    ],
    ["an empty secret", token(CLAIMS, { alg: "HS256" }, byHmac("")), authorizer({ keys: secretKeys })],
    ["an algorithm that is not the key's", token(CLAIMS, { alg: "ES256", kid: "r1" })],
    ["a key that is not known", token(CLAIMS, { alg: "RS256", kid: "r9" })],
    ["another key than it names", token(CLAIMS, { alg: "RS256", kid: "r2" })],
    ["a key that could be one of two", token(CLAIMS, { alg: "RS256" })],
    [
      "a key that it brings along",
      token(CLAIMS, { alg: "RS256", jwk: jwk(otherRsa.publicKey, "x") }, byRsa(otherRsa.privateKey)),
    ],
    [
      "a key by address",
      token(CLAIMS, { alg: "RS256", kid: "r9", jku: "http://127.0.0.1:1/", x5u: "http://127.0.0.1:1/" }),
    ],
    ["a header that must be understood", token(CLAIMS, { alg: "RS256", kid: "r1", crit: ["x"], x: 1 })],
    [
      "other claims than were signed",
      `${head}.${base64url(JSON.stringify({ ...CLAIMS, sub: "eve" }))}.${signature}`,
    ],
    ["an end that is past", token({ ...CLAIMS, exp: NOW_S - 60 })],
    ["no end", token({ ...CLAIMS, exp: undefined })],
    ["an end that is no number", token({ ...CLAIMS, exp: "tomorrow" })],
    ["a beginning that is to come", token({ ...CLAIMS, nbf: NOW_S + 60 })],
    ["another issuer", token({ ...CLAIMS, iss: "https://id" })],
    ["no issuer", token({ ...CLAIMS, iss: undefined })],
    ["another audience", token({ ...CLAIMS, aud: "other" })],
    ["no audience", token({ ...CLAIMS, aud: undefined })],
    [
      "an audience that does not fit, beside a client that does",
      token({ ...CLAIMS, aud: "other", client_id: "app" }),
    ],
    ["an empty audience, beside a client that does", token({ ...CLAIMS, aud: [], client_id: "app" })],
    ["claims that are none", token([])],
    ["too much", token({ ...CLAIMS, x: "x".repeat(10_000) })],
  ];
  for (const [why, text, by = authorizer()] of refused) {
    it(`refuses ${why}`, async () => {
      await assert.rejects(verify(text, by), (error) => isPlatformError(error, "Unauthenticated"));
    });
  }

  it("refuses all when its secret was sealed elsewhere", async () => {
    const by = authorizer({ keys: { kind: "secret", sealed: "x" } });
    await assert.rejects(verify(token(), by), (error) => isPlatformError(error, "AuthorizerUnavailable"));
  });
});

describe("keys by address", () => {
  async function startIssuer(answer: () => { status?: number; text: string }) {
    const server = createServer((_, response) => {
      issuer.asked += 1;
      const { status = 200, text } = answer();
      response.writeHead(status, { location: "/elsewhere" }).end(text);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const issuer = {
      asked: 0,
      keys: { kind: "url", url: `http://127.0.0.1:${port}/jwks.json` } as const,
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
    return issuer;
  }

  const open = (refuses = false) =>
    newJwtVerifier({
      unseal: async () => undefined,
      fetchKeys: newKeySetFetch({ lookup: undefined, refuses: () => refuses }),
      clock: systemClock,
    });

  it("are fetched once, and checked with from then on", async () => {
    await using issuer = await startIssuer(() => ({
      text: JSON.stringify({ keys: [jwk(rsa.publicKey, "r1")] }),
    }));
    const checking = open();
    const by = authorizer({ keys: issuer.keys });
    await Promise.all([1, 2, 3].map(() => checking(token(), by)));
    await checking(token(), authorizer({ keys: issuer.keys }));
    assert.equal(issuer.asked, 1);
    const unknown = token(CLAIMS, { alg: "RS256", kid: "r2" });
    for (let i = 0; i < 5; i++) {
      await assert.rejects(checking(unknown, by), (error) => isPlatformError(error, "Unauthenticated"));
    }
    assert.ok(issuer.asked <= 2, "a key that is not known must not make everybody ask again");
  });

  for (const [why, answer] of [
    ["an error", { status: 500, text: "x" }],
    ["a redirect", { status: 302, text: "" }],
    ["no JSON", { text: "<html>" }],
    ["no key set", { text: "{}" }],
    ["too much", { text: " ".repeat(600_000) }],
  ] as const) {
    it(`cannot be had when there is ${why}`, async () => {
      await using issuer = await startIssuer(() => answer);
      await assert.rejects(open()(token(), authorizer({ keys: issuer.keys })), (error) =>
        isPlatformError(error, "AuthorizerUnavailable"),
      );
    });
  }

  it("are not fetched inside networks unless that is allowed", async () => {
    await using issuer = await startIssuer(() => ({ text: "{}" }));
    await assert.rejects(open(true)(token(), authorizer({ keys: issuer.keys })), (error) =>
      isPlatformError(error, "AuthorizerUnavailable"),
    );
    assert.equal(issuer.asked, 0);
  });
});
