import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { describe, it } from "node:test";
import type { HookProvider } from "../../core/hook.ts";
import { judge, type SigningRule } from "./signatures.ts";
import { macByOther } from "./signer.fake.ts";

const base64 = (hex: string) => Buffer.from(hex, "hex").toString("base64");
const rule = (provider: HookProvider, hmac?: SigningRule["hmac"]): SigningRule => ({ provider, hmac });

const NOW = 1_700_000_000_000;
const SECONDS = "1700000000";

function judged(
  signing: SigningRule,
  secrets: readonly string[],
  headers: Record<string, string>,
  body: string,
  now = NOW,
) {
  return judge(signing, secrets, { headers, body: Buffer.from(body), now });
}

function assertRefused(judgement: ReturnType<typeof judge>, why: RegExp): void {
  assert.equal(judgement.kind, "refused");
  if (judgement.kind === "refused") assert.match(judgement.why, why);
}

describe("published examples", () => {
  it("of GitHub", () => {
    const signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    const headers = { "x-hub-signature-256": signature, "x-github-delivery": "d1" };
    const secrets = ["It's a Secret to Everybody"];
    assert.equal(judged(rule("github"), secrets, headers, "Hello, World!").kind, "genuine");
    assertRefused(judged(rule("github"), secrets, headers, "Hello, World?"), /does not fit/);
  });

  it("of Slack", () => {
    const headers = {
      "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
      "x-slack-request-timestamp": "1531420618",
    };
    const body =
      "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const secrets = ["8f742231b10e8888abcd99yyyzzz85a5"];
    assert.equal(judged(rule("slack"), secrets, headers, body, 1_531_420_618_000).kind, "genuine");
    assertRefused(judged(rule("slack"), secrets, headers, body), /its time is \d+ s from ours; 300 s/);
  });

  it("of Standard Webhooks", () => {
    const headers = {
      "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    };
    const judgement = judged(
      rule("standard"),
      ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
      headers,
      '{"test": 2432232314}',
      1_614_265_330_000,
    );
    assert.deepEqual(judgement, {
      kind: "genuine",
      marks: { ids: ["id msg_p5jXN8AQM9LWM0D4loKWxJek"], signed: undefined },
      senderId: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    });
  });
});

const BODY = '{"id":"evt_1","event_id":"Ev1","naïve":"ü"}';
const KEY = Buffer.from("0123456789abcdef0123456789abcdef");
const STANDARD_SECRET = `whsec_${KEY.toString("base64")}`;

interface Sample {
  readonly why: string;
  readonly signing: SigningRule;
  readonly secret: string;
  readonly headers: Record<string, string>;
  readonly senderId: string | undefined;
}

/** One genuine request of each kind, signed by another implementation. */
const SAMPLES: readonly Sample[] = [
  {
    why: "github",
    signing: rule("github"),
    secret: "s3cret",
    headers: {
      "x-hub-signature-256": `sha256=${macByOther("s3cret", BODY)}`,
      "x-github-delivery": "guid-1",
    },
    senderId: "guid-1",
  },
  {
    why: "stripe",
    signing: rule("stripe"),
    secret: "whsec_abc",
    headers: {
      "stripe-signature": `t=${SECONDS},v1=${"0".repeat(64)},v1=${macByOther("whsec_abc", `${SECONDS}.${BODY}`)},v0=ff`,
    },
    senderId: "evt_1",
  },
  {
    why: "slack",
    signing: rule("slack"),
    secret: "abc",
    headers: {
      "x-slack-signature": `v0=${macByOther("abc", `v0:${SECONDS}:${BODY}`)}`,
      "x-slack-request-timestamp": SECONDS,
    },
    senderId: "Ev1",
  },
  {
    why: "standard",
    signing: rule("standard"),
    secret: STANDARD_SECRET,
    headers: {
      "webhook-id": "msg_1",
      "webhook-timestamp": SECONDS,
      "webhook-signature": `v1a,AAAA v1,${base64(macByOther(KEY, `msg_1.${SECONDS}.${BODY}`))}`,
    },
    senderId: "msg_1",
  },
  {
    why: "standard, by its older names",
    signing: rule("standard"),
    secret: STANDARD_SECRET,
    headers: {
      "svix-id": "msg_1",
      "svix-timestamp": SECONDS,
      "svix-signature": `v1,${base64(macByOther(KEY, `msg_1.${SECONDS}.${BODY}`))}`,
    },
    senderId: "msg_1",
  },
  {
    why: "gitlab with a signing token",
    signing: rule("gitlab"),
    secret: STANDARD_SECRET,
    headers: {
      "webhook-id": "k1",
      "webhook-timestamp": SECONDS,
      "webhook-signature": `v1,${base64(macByOther(KEY, `k1.${SECONDS}.${BODY}`))}`,
    },
    senderId: "k1",
  },
  {
    why: "hmac in hex",
    signing: rule("hmac", {
      header: "x-sig",
      algorithm: "sha512",
      idHeader: "x-id",
      timestampHeader: undefined,
    }),
    secret: "abc",
    headers: { "x-sig": macByOther("abc", BODY, "sha512").toUpperCase(), "x-id": "9" },
    senderId: "9",
  },
  {
    why: "hmac in base64, with a time",
    signing: rule("hmac", {
      header: "x-sig",
      algorithm: "sha256",
      idHeader: undefined,
      timestampHeader: "x-time",
    }),
    secret: "abc",
    headers: { "x-sig": `sha256=${base64(macByOther("abc", `${SECONDS}.${BODY}`))}`, "x-time": SECONDS },
    senderId: undefined,
  },
  {
    why: "hmac with sha1",
    signing: rule("hmac", {
      header: "x-sig",
      algorithm: "sha1",
      idHeader: undefined,
      timestampHeader: undefined,
    }),
    secret: "abc",
    headers: { "x-sig": `sha1=${macByOther("abc", BODY, "sha1")}` },
    senderId: undefined,
  },
];

describe("judge", () => {
  for (const { why, signing, secret, headers, senderId } of SAMPLES) {
    it(`takes what is signed as ${why}, by any active secret`, () => {
      for (const secrets of [[secret], [STANDARD_SECRET.replace("M", "N"), secret]]) {
        const judgement = judged(signing, secrets, headers, BODY);
        assert.equal(judgement.kind, "genuine", JSON.stringify(judgement));
        if (judgement.kind === "genuine") {
          assert.equal(judgement.senderId, senderId);
          assert.equal(judgement.marks.ids.length, 1);
        }
      }
    });

    it(`refuses ${why} without a header, by another secret, with another body, and out of its time`, () => {
      for (const name of Object.keys(headers)) {
        if (name === "x-github-delivery") continue;
        const { [name]: _left, ...others } = headers;
        assertRefused(judged(signing, [secret], others, BODY), /header|missing/);
        assertRefused(judged(signing, [secret], { ...headers, [name]: "" }, BODY), /header|missing/);
      }
      const wrong = `whsec_${Buffer.from("fedcba9876543210fedcba9876543210").toString("base64")}`;
      assertRefused(judged(signing, [wrong], headers, BODY), /does not fit/);
      assertRefused(judged(signing, [secret], headers, `${BODY} `), /does not fit/);
      assertRefused(judged(signing, [], headers, BODY), /no secret yet/);
      const isTimed = JSON.stringify(headers).includes(SECONDS);
      for (const now of [NOW - 301_000, NOW + 301_000]) {
        const judgement = judged(signing, [secret], headers, BODY, now);
        if (isTimed) assertRefused(judgement, /its time is 301 s from ours/);
        else assert.equal(judgement.kind, "genuine");
      }
      assert.equal(judged(signing, [secret], headers, BODY, NOW + 300_000).kind, "genuine");
    });
  }

  it("takes none of 10,000 mutated signatures", () => {
    const letters = "0123456789abcdefXYZ+/=, v";
    for (let round = 0; round < 10_000; round += 1) {
      const sample = SAMPLES[round % SAMPLES.length];
      assert.ok(sample);
      const { signing, secret, headers } = sample;
      const names = Object.keys(headers).filter((name) => /sig/.test(name));
      const name = names[0] ?? "";
      const given = headers[name] ?? "";
      const digest = [...given.matchAll(/[A-Za-z0-9+/]{27,}/g)].at(-1);
      assert.ok(digest);
      const at = digest.index + randomInt(digest[0].length);
      const letter = letters[randomInt(letters.length)] ?? "";
      const mutated = `${given.slice(0, at)}${letter}${given.slice(at + 1)}`;
      if (mutated.toLowerCase() === given.toLowerCase()) continue;
      const judgement = judged(signing, [secret], { ...headers, [name]: mutated }, BODY);
      assert.equal(judgement.kind, "refused", `${sample.why}: ${mutated}`);
    }
  });

  it("compares GitLab's token, and knows a delivery by what GitLab names it by", () => {
    const gitlab = rule("gitlab");
    const headers = { "x-gitlab-token": "t0ken" };
    const idsOf = (more: Record<string, string>, body = "{}") => {
      const judgement = judged(gitlab, ["t0ken"], { ...headers, ...more }, body);
      assert.equal(judgement.kind, "genuine");
      return judgement.kind === "genuine" ? judgement.marks.ids : [];
    };
    assert.deepEqual(idsOf({ "idempotency-key": "k", "x-gitlab-event-uuid": "u" }), ["id k"]);
    assert.deepEqual(idsOf({}), []);
    assert.notDeepEqual(
      idsOf({ "x-gitlab-event-uuid": "u" }, "{}"),
      idsOf({ "x-gitlab-event-uuid": "u" }, "[]"),
    );
    assertRefused(judged(gitlab, ["t0ken"], { "x-gitlab-token": "t0keN" }, "{}"), /another secret/);
    assertRefused(judged(gitlab, ["t0ken"], {}, "{}"), /no X-Gitlab-Token/);
    // A signing token is never sent itself: who sends it has stolen it.
    assertRefused(
      judged(gitlab, [STANDARD_SECRET], { "x-gitlab-token": STANDARD_SECRET }, "{}"),
      /no webhook-signature/,
    );
  });

  it("marks GitHub's deliveries by their bytes too, however the signature is written", () => {
    const hex = macByOther("s", "{}");
    const marks = [hex, hex.toUpperCase()].map((text) => {
      const judgement = judged(rule("github"), ["s"], { "x-hub-signature-256": `sha256=${text}` }, "{}");
      assert.equal(judgement.kind, "genuine");
      return judgement.kind === "genuine" ? judgement.marks : undefined;
    });
    assert.deepEqual(marks[0], marks[1]);
    assert.deepEqual(marks[0]?.ids, [marks[0]?.signed?.text]);
  });

  it("does not take SHA-1 of GitHub, nor a repeated header", () => {
    const sha1 = `sha1=${macByOther("s", "{}", "sha1")}`;
    assertRefused(judged(rule("github"), ["s"], { "x-hub-signature": sha1 }, "{}"), /alone is not taken/);
    const sha256 = `sha256=${macByOther("s", "{}")}`;
    const twice = { "x-hub-signature-256": `${sha256}, ${sha256}` };
    assertRefused(judged(rule("github"), ["s"], twice, "{}"), /does not fit/);
  });
});
