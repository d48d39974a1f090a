import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PerIpLimit } from "./per-ip-limit.ts";

describe("PerIpLimit", () => {
  it("lets an address have so many connections, and another its own", () => {
    const limit = new PerIpLimit(2);
    const admitted = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "2001:db8::1"].map((ip) => limit.enter(ip));
    assert.deepEqual(admitted, [true, true, false, true]);
  });

  it("admits again after a connection has ended, and forgets an address with none", () => {
    const limit = new PerIpLimit(1);
    limit.enter("192.0.2.1");
    limit.leave("192.0.2.1");
    assert.equal(limit.size, 0);
    assert.equal(limit.enter("192.0.2.1"), true);
    limit.leave("192.0.2.9");
    assert.equal(limit.size, 1);
  });

  for (const ip of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) {
    it(`does not count ${ip}`, () => {
      const limit = new PerIpLimit(0);
      assert.deepEqual([limit.enter(ip), limit.size], [true, 0]);
    });
  }
});
