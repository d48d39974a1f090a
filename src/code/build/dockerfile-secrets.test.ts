import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { unusedSecrets } from "./dockerfile-secrets.ts";

describe("unusedSecrets", () => {
  for (const [dockerfile, unused] of [
    ["FROM a\nRUN --mount=type=secret,id=tok x", ["other"]],
    ["FROM a\nRUN --mount=type=cache,target=/c --mount=type=secret,target=/run/other x", ["tok"]],
    ["FROM a\nRUN x\n# RUN --mount=type=secret,id=tok x", ["tok", "other"]],
    ["FROM a\nARG I\nRUN --mount=type=secret,id=$I x", []],
    ["FROM a\nCOPY --mount=type=secret,id=tok x y", ["tok", "other"]],
  ] as const)
    it(`finds ${unused.join(", ") || "none"} in ${JSON.stringify(dockerfile)}`, () =>
      assert.deepEqual(unusedSecrets(dockerfile, ["tok", "other"]), unused));
});
