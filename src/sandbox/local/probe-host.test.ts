import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { probeHost } from "./probe-host.ts";

describe("probeHost", () => {
  it("has a finding for every topic, with a remedy where something is amiss", async () => {
    const findings = await probeHost();
    assert.deepEqual(
      findings.map(({ topic }) => topic),
      [
        "bubblewrap",
        "setpriv",
        "namespaces",
        "memory limit",
        "cpu limit",
        "process limit",
        "system-call filter",
        "network none",
      ],
    );
    for (const { isFine, detail, remedy } of findings) {
      assert.equal(remedy === undefined, isFine);
      assert.notEqual(detail, "");
    }
  });

  it("says what to install when bubblewrap is missing", async () => {
    const [bubblewrap] = await probeHost({ bubblewrap: "/nonexistent/bwrap" });
    assert.deepEqual(bubblewrap, {
      topic: "bubblewrap",
      isFine: false,
      detail: "not found",
      remedy: "install the package bubblewrap; until then functions are not isolated",
    });
  });

  it("says so when bubblewrap is not what it seems", async () => {
    const [bubblewrap, , namespaces] = await probeHost({ bubblewrap: "/bin/false" });
    assert.deepEqual([bubblewrap?.isFine, namespaces?.isFine], [false, false]);
  });
});
