import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { REDACTED, Redactor, Restorer } from "./redaction.ts";
import { rewriteJson } from "./rewrite-json.ts";

const MARK = "k3n8";
const SECRET = 'pa"ss/wörd+1';
const ENVIRONMENT = { DB_PASSWORD: SECRET, TABLE: "orders-eu", STAGE: "prod" };

function redactor(redact: readonly string[] = []): Redactor {
  return new Redactor({ redact, environment: ENVIRONMENT, mark: MARK });
}

function body(given: unknown, redact: readonly string[] = []) {
  const redacting = redactor(redact);
  const before = typeof given === "string" ? given : JSON.stringify(given);
  const after = Buffer.from(redacting.bytes(Buffer.from(before))).toString();
  return { after, redacting };
}

function json(given: unknown, redact: readonly string[] = []): unknown {
  return JSON.parse(body(given, redact).after);
}

function restored(text: string, environment: Readonly<Record<string, string>> = ENVIRONMENT): string {
  const restorer = new Restorer({ environment, mark: MARK });
  return Buffer.from(restorer.bytes(Buffer.from(text))).toString();
}

describe("redaction", () => {
  it("leaves every byte of what has no secret", () => {
    const text =
      '{ "big": 12345678901234567890, "n": 1.0,\n "b": {"z":1,"1":2}, "nextToken": "abc", "s": "prod" }';
    const bytes = Buffer.from(text);

    assert.equal(redactor().bytes(bytes), bytes);
  });

  it("takes members with the usual names out, at any depth, and leaves the rest as it was written", () => {
    const { after, redacting } = body(
      '{"a":[{"User-Password":{"x":1}, "n":1.0}],"access_token":"t", "token":null}',
    );

    assert.equal(
      after,
      `{"a":[{"User-Password":"${REDACTED}", "n":1.0}],"access_token":"${REDACTED}", "token":null}`,
    );
    assert.equal(redacting.removedCount, 2);
  });

  it("takes headers out by name, in requests and in events", () => {
    const headers = redactor(["x-internal"]).headers([
      ...["Authorization", "Bearer abc", "Cookie", "a=b", "X-Api-Key", "k", "X-Internal", "1"],
      ...["Accept", "text/html", "Referer", "http://a/?token=abc&page=2"],
    ]);

    assert.deepEqual(headers, [
      ...["Authorization", REDACTED, "Cookie", REDACTED, "X-Api-Key", REDACTED, "X-Internal", REDACTED],
      ...["Accept", "text/html", "Referer", `http://a/?token=${REDACTED}&page=2`],
    ]);
    assert.deepEqual(json({ headers: { cookie: "a", accept: "b" }, cookies: ["a=b"] }), {
      headers: { cookie: REDACTED, accept: "b" },
      cookies: REDACTED,
    });
  });

  it("takes out what the function's own settings name, by name or by place", () => {
    const given = { card: { number: "4111", brand: "v" }, ssn: "1", list: [{ id: 1 }, { id: 2 }] };

    assert.deepEqual(json(given, ["SSN", "body.card.number", "body.list[*].id"]), {
      card: { number: REDACTED, brand: "v" },
      ssn: REDACTED,
      list: [{ id: REDACTED }, { id: REDACTED }],
    });
    assert.equal(body("anything", ["body"]).after, REDACTED);
  });

  it("looks into JSON in strings, base64, forms and addresses of events", () => {
    const inner = JSON.stringify({ password: "x", ok: 1 });
    const hidden = JSON.stringify({ password: REDACTED, ok: 1 });
    const base64 = (text: string) => Buffer.from(text).toString("base64");

    assert.deepEqual(json({ Records: [{ body: inner }] }), { Records: [{ body: hidden }] });
    assert.deepEqual(json({ body: base64(inner) }), { body: base64(hidden) });
    assert.deepEqual(json({ body: inner }, ["body.body.ok"]), {
      body: JSON.stringify({ password: REDACTED, ok: REDACTED }),
    });
    assert.deepEqual(json({ body: "user=a&password=b%20c&x=" }), { body: `user=a&password=${REDACTED}&x=` });
    assert.deepEqual(json({ rawQueryString: "api_key=1&q=2" }), {
      rawQueryString: `api_key=${REDACTED}&q=2`,
    });
    assert.equal(redactor().address("/a?q=1&access_token=2"), `/a?q=1&access_token=${REDACTED}`);
  });

  it("looks into forms, of one part and of several", () => {
    const part = (name: string, value: string) =>
      `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;

    assert.equal(body("user=a&secret=b").after, `user=a&secret=${REDACTED}`);
    assert.equal(
      body(`${part("user", "a")}${part("password", "b")}--b--\r\n`).after,
      `${part("user", "a")}${part("password", REDACTED)}--b--\r\n`,
    );
  });

  it("knows credentials by their looks, wherever they are", () => {
    const token = `${Buffer.from('{"alg":"x"}').toString("base64url")}.${Buffer.from('{"sub":"x"}').toString("base64url")}.sig`;
    const basic = Buffer.from("user:pass").toString("base64");

    assert.deepEqual(
      json({
        a: `curl -H 'x: Bearer abcdefgh'`,
        b: `it is ${token}, is it not`,
        c: "postgres://me:hidden@db/x",
        d: `Basic ${basic}`,
        e: "Basic understanding",
      }),
      {
        a: `curl -H 'x: Bearer ${REDACTED}'`,
        b: `it is ${REDACTED}, is it not`,
        c: `postgres://me:${REDACTED}@db/x`,
        d: `Basic ${REDACTED}`,
        e: "Basic understanding",
      },
    );
  });

  it("takes values of the environment out wherever they are, and puts them back", () => {
    const given = JSON.stringify({
      say: `it is ${SECRET}!`,
      [`key ${SECRET}`]: [1, SECRET],
      nested: JSON.stringify({ deep: SECRET }),
      query: `/x?p=${encodeURIComponent(SECRET)}&t=orders-eu`,
      body: Buffer.from(`in base64: ${SECRET}`).toString("base64"),
    });
    const { after, redacting } = body(given);

    for (const form of [SECRET, JSON.stringify(SECRET).slice(1, -1), encodeURIComponent(SECRET), "orders-eu"])
      assert.equal(after.includes(form), false, form);
    assert.deepEqual([...redacting.variables].sort(), ["DB_PASSWORD", "TABLE"]);
    assert.equal(redacting.removedCount, 0);
    assert.deepEqual(JSON.parse(restored(after)), JSON.parse(given));
  });

  it("does that in text and in bytes that are no text", () => {
    const text = body(`plain ${SECRET}`).after;
    assert.equal(restored(text), `plain ${SECRET}`);
    const bytes = Buffer.concat([Uint8Array.of(0xff, 0xfe), Buffer.from(SECRET), Uint8Array.of(0)]);

    const after = Buffer.from(redactor().bytes(bytes));

    assert.equal(after.includes(SECRET), false);
    const restorer = new Restorer({ environment: ENVIRONMENT, mark: MARK });
    assert.deepEqual(Buffer.from(restorer.bytes(after)), bytes);
  });

  it("puts in the values of the version that runs, and names those it has not", () => {
    const { after } = body({ a: SECRET, b: "orders-eu" });
    const restorer = new Restorer({ environment: { DB_PASSWORD: "other" }, mark: MARK });

    const text = Buffer.from(restorer.bytes(Buffer.from(after))).toString();

    assert.deepEqual(JSON.parse(text), { a: "other", b: REDACTED });
    assert.deepEqual([...restorer.missing], ["TABLE"]);
  });

  it("gives no secret to a text that only looks like a placeholder", () => {
    const forged = JSON.stringify({ a: "__env.DB_PASSWORD.0000__" });

    assert.equal(restored(body(forged).after), forged);
  });

  it("removes what is nested too deeply to be looked at", () => {
    const deep = `${"[".repeat(200)}"x"${"]".repeat(200)}`;

    assert.match(body(deep).after, /^\[{64,70}"__redacted__"\]{64,70}$/);
  });

  it("takes time in step with the size of the worst texts", () => {
    const size = 200_000;
    const texts = [
      "eyJ-".repeat(size / 4),
      "eyJa.".repeat(size / 5),
      "content-disposition: name=".repeat(size / 26),
      "?a=".repeat(size / 3),
      "://a:".repeat(size / 5),
      "Bearer ".repeat(size / 7),
      '\\"'.repeat(size / 2),
    ];
    // Quadratic time would be minutes, and the test's own limit would end it.
    for (const text of texts) {
      body(text);
      json({ body: text });
    }
  });
});

describe("rewriteJson", () => {
  const upper = {
    removed: "gone",
    removes: () => false,
    text: (_: unknown, value: string) => value.toUpperCase(),
    name: (value: string) => value,
  };

  it("changes strings and nothing else", () => {
    const text = ' { "a" : "x\\"\\\\" , "b":[ ] , "c":{ } , "d":[1e3,-0.0,"y",true,null,[["z"]]] } ';

    assert.equal(
      rewriteJson(text, [], upper),
      ' { "a" : "X\\"\\\\" , "b":[ ] , "c":{ } , "d":[1e3,-0.0,"Y",true,null,[["Z"]]] } ',
    );
    assert.equal(rewriteJson('"x"', [], upper), '"X"');
    assert.equal(rewriteJson("12", [], upper), "12");
  });

  it("tells what is not JSON", () => {
    for (const text of ["", "{", "x", '{"a":1}}', "[1,]"])
      assert.equal(rewriteJson(text, [], upper), undefined);
  });
});
