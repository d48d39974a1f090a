import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { checkHibernation } from "./hibernation.ts";

const HEAD = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

for (const [why, swaps, zswap, status, found] of [
  ["without swap", HEAD, "N\n", "absent", /there is no swap/],
  ["with swap on a disk", `${HEAD}/dev/sda2  partition 1 0 -2\n`, "N\n", "absent", /too slow/],
  ["with zswap before a disk", `${HEAD}/dev/sda2  partition 1 0 -2\n`, "Y\n", "ok", /zswap/],
  ["with zram", `${HEAD}/dev/zram0  partition 1 0 -2\n`, "N\n", "ok", /zram0/],
  [
    "with zram and a disk",
    `${HEAD}/dev/zram0 partition 1 0 5\n/swapfile file 1 0 -2\n`,
    "N\n",
    "absent",
    /too slow/,
  ],
] as const) {
  it(`says whether idle functions give their memory away ${why}`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "swaps-"));
    try {
      const files = { swaps: join(folder, "swaps"), zswap: join(folder, "enabled") };
      await writeFile(files.swaps, swaps);
      await writeFile(files.zswap, zswap);
      const check = await checkHibernation(files);
      assert.equal(check.status, status);
      assert.match(check.found, found);
      assert.equal(check.remedy === undefined, status === "ok");
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}
