import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sampleProjectName } from "../../store/project-samples.fake.ts";
import type { Listener } from "../listener.ts";
import { newReleaseAddresses } from "./release-addresses.ts";

const release = (number: number) => ({ project: sampleProjectName("shop"), number });

/** `listening` has the addresses that are open. */
function open({ opens = Promise.resolve() }: { readonly opens?: Promise<void> } = {}) {
  const listening = new Set<string>();
  const addresses = newReleaseAddresses({
    port: 8080,
    isOnAll: false,
    async listenOn(host, port): Promise<Listener> {
      await opens;
      const place = `${host}:${port}`;
      listening.add(place);
      return {
        address: { host, port, authority: place, url: `http://${place}` },
        [Symbol.asyncDispose]: async () => void listening.delete(place),
      };
    },
  });
  return { addresses, listening };
}

describe("addresses of releases", { skip: process.platform !== "linux" && "only Linux has them" }, () => {
  it("are open until they are closed", async () => {
    const { addresses, listening } = open();
    const first = await addresses.open(release(1));
    assert.equal(await addresses.open(release(1)), await addresses.open(release(1)));
    assert.deepEqual([...listening], [`${first?.host}:8080`, `${first?.host}:80`]);
    await addresses[Symbol.asyncDispose]();
    assert.equal(listening.size, 0);
  });

  it("are not opened any more once all are closed, by whoever comes late", async () => {
    const opens = Promise.withResolvers<void>();
    const { addresses, listening } = open({ opens: opens.promise });
    const early = addresses.open(release(1));
    const closing = addresses[Symbol.asyncDispose]();
    const late = addresses.open(release(2));
    opens.resolve();
    await early;
    assert.equal(await late, undefined);
    await closing;
    assert.equal(listening.size, 0);
  });
});
