import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, it } from "node:test";
import { isPlatformError } from "../../core/errors.ts";
import { startControl } from "./control.fake.ts";
import { sha256Hex } from "./sigv4.ts";
import { CHUNKED_PAYLOAD, decodeSignedChunks } from "./sigv4-chunks.ts";

const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();

function signingKey(secret: string, scope: string): Buffer {
  let key: Buffer = Buffer.from(`AWS4${secret}`);
  for (const part of scope.split("/")) key = hmac(key, part);
  return key;
}

function wrap(pieces: readonly (readonly [Buffer, signature: string])[]): Buffer {
  return Buffer.concat(
    pieces.flatMap(([piece, signature]) => [
      Buffer.from(`${piece.length.toString(16)};chunk-signature=${signature}\r\n`),
      piece,
      Buffer.from("\r\n"),
    ]),
  );
}

/** AWS's own example. https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html */
const SCOPE = "20130524/us-east-1/s3/aws4_request";
const SIGNED = {
  key: signingKey("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", SCOPE),
  instant: "20130524T000000Z",
  scope: SCOPE,
  signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
};
const PIECES = [
  [Buffer.alloc(65_536, "a"), "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"],
  [Buffer.alloc(1_024, "a"), "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"],
  [Buffer.alloc(0), "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"],
] as const;

describe("a body in signed chunks", () => {
  const whole = wrap(PIECES);

  it("is what AWS's example says", () => {
    assert.deepEqual(decodeSignedChunks(whole, SIGNED), Buffer.alloc(66_560, "a"));
  });

  for (const [why, body] of [
    ["another byte in a chunk", Buffer.from(whole.toString("latin1").replace("aaaa", "aaba"), "latin1")],
    ["a chunk left out", wrap([PIECES[0], PIECES[2]])],
    ["chunks in another order", wrap([PIECES[1], PIECES[0], PIECES[2]])],
    ["no last chunk", wrap([PIECES[0], PIECES[1]])],
    ["something behind the last chunk", Buffer.concat([whole, Buffer.from("x")])],
    ["a size that is too large", Buffer.from(`ffffffff;chunk-signature=${"0".repeat(64)}\r\nx\r\n`)],
    ["no chunks", Buffer.from('{"a":1}')],
    ["nothing", Buffer.alloc(0)],
  ] as const) {
    it(`is refused: ${why}`, () => {
      assert.throws(
        () => decodeSignedChunks(body, SIGNED),
        (error) => isPlatformError(error, "SignatureInvalid"),
      );
    });
  }

  it("is read as what was wrapped, by the control API", async () => {
    await using control = await startControl();
    const [id = "", secret = ""] = control.token.split(".");
    const instant = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
    const scope = `${instant.slice(0, 8)}/eu-central-1/lambda/aws4_request`;
    const key = signingKey(secret, scope);
    const path = "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Anone";
    const host = `127.0.0.1:${control.port}`;
    const names = "content-encoding;host;x-amz-content-sha256;x-amz-date";
    const canonical = [
      "POST",
      path.replaceAll("%", "%25"),
      "",
      `content-encoding:aws-chunked\nhost:${host}\nx-amz-content-sha256:${CHUNKED_PAYLOAD}\nx-amz-date:${instant}\n`,
      names,
      CHUNKED_PAYLOAD,
    ].join("\n");
    const seed = hmac(key, ["AWS4-HMAC-SHA256", instant, scope, sha256Hex(canonical)].join("\n")).toString(
      "hex",
    );
    const sign = (before: string, piece: Buffer) =>
      hmac(
        key,
        ["AWS4-HMAC-SHA256-PAYLOAD", instant, scope, before, sha256Hex(""), sha256Hex(piece)].join("\n"),
      ).toString("hex");
    const piece = Buffer.from('{"Tags":{"a":5}}');
    const first = sign(seed, piece);
    const body = wrap([
      [piece, first],
      [Buffer.alloc(0), sign(first, Buffer.alloc(0))],
    ]);
    const send = (sent: Buffer) =>
      control.send({
        method: "POST",
        path,
        token: null,
        body: sent,
        headers: {
          authorization: `AWS4-HMAC-SHA256 Credential=${id}/${scope}, SignedHeaders=${names}, Signature=${seed}`,
          "content-encoding": "aws-chunked",
          "x-amz-content-sha256": CHUNKED_PAYLOAD,
          "x-amz-date": instant,
        },
      });
    // What was wrapped is understood, and wrong in its own way.
    const read = await send(body);
    assert.match(read.text, /tags\.a: expected string, got number/);
    const forged = await send(Buffer.from(body.toString("latin1").replace('"a"', '"b"'), "latin1"));
    assert.equal(forged.headers["x-amzn-errortype"], "InvalidSignatureException");
  });
});
