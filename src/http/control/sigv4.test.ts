import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import { describe, it } from "node:test";
import {
  InvokeCommand,
  LambdaClient,
  ListFunctionsCommand,
  TagResourceCommand,
} from "@aws-sdk/client-lambda";
import fc from "fast-check";
import { isPlatformError } from "../../core/errors.ts";
import { newSignatureVerifier, parseSignature, type SignedRequest, sha256Hex } from "./sigv4.ts";

const KEY_ID = "AKIAIOSFODNN7EXAMPLE";
const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

interface Captured extends SignedRequest {
  readonly body: Buffer;
}

/** What the SDK puts on the wire for a command. */
async function capture(
  act: (client: LambdaClient) => Promise<unknown>,
  sessionToken?: string,
): Promise<Captured> {
  const received = Promise.withResolvers<Captured>();
  const server = createServer(async (request: IncomingMessage, response) => {
    const body = Buffer.concat(await request.toArray());
    const { method = "", url = "", rawHeaders } = request;
    received.resolve({ method, target: url, rawHeaders, body });
    response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  const client = new LambdaClient({
    endpoint: `http://127.0.0.1:${port}`,
    region: "eu-west-3",
    credentials: { accessKeyId: KEY_ID, secretAccessKey: SECRET, ...(sessionToken && { sessionToken }) },
    maxAttempts: 1,
  });
  try {
    await act(client).catch(() => undefined);
    return await received.promise;
  } finally {
    client.destroy();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Throws as the guard would. */
function check(captured: Captured, secret = SECRET, now = Date.now()): void {
  const signature = parseSignature(captured, now);
  assert.ok(signature, "no signature was found");
  assert.equal(signature.keyId, KEY_ID);
  newSignatureVerifier().verify(captured, signature, secret, sha256Hex(captured.body));
}

const isInvalid = (error: unknown) => isPlatformError(error, "SignatureInvalid");

describe("a request signed by the SDK", () => {
  for (const [why, act] of [
    [
      "a payload and a name that needs encoding",
      (client: LambdaClient) =>
        client.send(new InvokeCommand({ FunctionName: "hello world/x:prod", Payload: Buffer.from("{}") })),
    ],
    [
      "a query with characters of every kind",
      (client: LambdaClient) =>
        client.send(new ListFunctionsCommand({ Marker: "a b/c=+&~!'()*äß", MaxItems: 7 })),
    ],
    [
      "an ARN in the path",
      (client: LambdaClient) =>
        client.send(
          new TagResourceCommand({
            Resource: "arn:aws:lambda:us-east-1:123456789012:function:f",
            Tags: { a: "b" },
          }),
        ),
    ],
  ] as const) {
    it(`is accepted with ${why}`, async () => check(await capture(act)));
  }

  it("is accepted with a session token, which means nothing here", async () => {
    check(await capture((client) => client.send(new ListFunctionsCommand({})), "a-session-token"));
  });

  it("is accepted whatever name, query and payload it has", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ minLength: 1, maxLength: 40, unit: "grapheme" }),
        fc.string({ minLength: 1, maxLength: 40 }),
        fc.uint8Array({ maxLength: 200 }),
        async (name, qualifier, payload) => {
          const captured = await capture((client) =>
            client.send(
              new InvokeCommand({ FunctionName: `f${name}`, Qualifier: qualifier, Payload: payload }),
            ),
          );
          check(captured);
        },
      ),
      { numRuns: 25 },
    );
  });

  it("is refused when any byte of it is changed", async () => {
    const captured = await capture((client) =>
      client.send(
        new InvokeCommand({
          FunctionName: "greet",
          Qualifier: "prod",
          InvocationType: "DryRun",
          Payload: Buffer.from('{"name":"World"}'),
        }),
      ),
    );
    const signature = parseSignature(captured, Date.now());
    assert.ok(signature);
    const signed = new Set(signature.signedHeaders);
    const covered = captured.rawHeaders.flatMap((name, at) =>
      at % 2 === 0 && (signed.has(name.toLowerCase()) || name.toLowerCase() === "authorization")
        ? [at + 1]
        : [],
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.record({ part: fc.constant("method" as const), at: fc.constant(0), by: fc.nat() }),
          fc.record({ part: fc.constant("target" as const), at: fc.nat(), by: fc.nat() }),
          fc.record({ part: fc.constant("body" as const), at: fc.nat(), by: fc.nat() }),
          fc.record({ part: fc.constantFrom(...covered), at: fc.nat(), by: fc.nat() }),
        ),
        ({ part, at, by }) => {
          const forged = forge(captured, part, at, by);
          if (JSON.stringify(forged) === JSON.stringify(captured)) return;
          assert.throws(
            () => {
              const again = parseSignature(forged, Date.now());
              // Without a signature, or with another key id, the guard refuses it before this.
              if (!again || again.keyId !== KEY_ID) throw Object.assign(new Error(), { isOther: true });
              newSignatureVerifier().verify(forged, again, SECRET, sha256Hex(forged.body));
            },
            (error) => isInvalid(error) || (error instanceof Error && "isOther" in error),
          );
        },
      ),
      { numRuns: 600 },
    );
  });
});

/** The request with one letter replaced by another printable one. */
function forge(
  captured: Captured,
  part: "method" | "target" | "body" | number,
  at: number,
  by: number,
): Captured {
  const replaced = (text: string) => {
    const place = at % text.length;
    const letter = String.fromCharCode(0x21 + (by % 0x5e));
    return `${text.slice(0, place)}${letter}${text.slice(place + 1)}`;
  };
  if (part === "method") return { ...captured, method: "PUT" };
  if (part === "target") return { ...captured, target: replaced(captured.target) };
  if (part === "body") return { ...captured, body: Buffer.from(replaced(captured.body.toString())) };
  const rawHeaders = captured.rawHeaders.map((value, index) => (index === part ? replaced(value) : value));
  return { ...captured, rawHeaders };
}

describe("parseSignature", () => {
  it("finds none in a bearer request", () => {
    const rawHeaders = ["Host", "h", "Authorization", "Bearer A.B"];
    assert.equal(parseSignature({ method: "GET", target: "/", rawHeaders }, 0), undefined);
  });

  it("allows a clock to be 15 minutes off, either way", async () => {
    const captured = await capture((client) => client.send(new ListFunctionsCommand({})));
    const now = Date.now();
    const minutes = (count: number) => now + count * 60_000;
    check(captured, SECRET, minutes(14));
    check(captured, SECRET, minutes(-14));
    assert.throws(() => check(captured, SECRET, minutes(16)), /Signature expired/);
    assert.throws(() => check(captured, SECRET, minutes(-16)), /not yet current/);
  });

  it("refuses a header that a signature must cover and does not", async () => {
    const captured = await capture((client) => client.send(new ListFunctionsCommand({})));
    const rawHeaders = [...captured.rawHeaders, "X-Amz-Invocation-Type", "Event"];
    assert.throws(() => check({ ...captured, rawHeaders }), /not signed: x-amz-invocation-type/);
  });

  for (const [why, authorization] of [
    ["nothing but its name", "AWS4-HMAC-SHA256"],
    ["no scope", `AWS4-HMAC-SHA256 Credential=${KEY_ID}, SignedHeaders=host, Signature=${"0".repeat(64)}`],
    [
      "another service",
      `AWS4-HMAC-SHA256 Credential=${KEY_ID}/20250101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=${"0".repeat(64)}`,
    ],
    [
      "a short signature",
      `AWS4-HMAC-SHA256 Credential=${KEY_ID}/20250101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00`,
    ],
    [
      "an unsigned host",
      `AWS4-HMAC-SHA256 Credential=${KEY_ID}/20250101/us-east-1/lambda/aws4_request, SignedHeaders=x-amz-date, Signature=${"0".repeat(64)}`,
    ],
  ] as const) {
    it(`refuses a header with ${why}`, () => {
      const rawHeaders = ["Host", "h", "X-Amz-Date", "20250101T000000Z", "Authorization", authorization];
      const now = Date.parse("2025-01-01T00:00:00Z");
      assert.throws(() => parseSignature({ method: "GET", target: "/", rawHeaders }, now), isInvalid);
    });
  }

  it("answers any header with a refusal at most", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (credential, date) => {
        const rawHeaders = [
          "Host",
          "h",
          "X-Amz-Date",
          date,
          "Authorization",
          `AWS4-HMAC-SHA256 ${credential}`,
        ];
        assert.throws(() => parseSignature({ method: "GET", target: "/", rawHeaders }, 0), isInvalid);
      }),
    );
  });
});
