import assert from "node:assert/strict";
import { it } from "node:test";
import { startDaemon } from "../e2e/daemon.fake.ts";
import { switchUnderLoad } from "../projects/release-switch.fake.ts";

const CHAINS = Number(process.env.SWITCH_CHAINS ?? 10_000);
const PER_SECOND = Number(process.env.SWITCH_PER_SECOND ?? 500);

it(`switches releases under ${PER_SECOND} chains a second: none of ${CHAINS} fails or mixes`, async (t) => {
  await using daemon = await startDaemon();
  const load = { chains: CHAINS, perSecond: PER_SECOND, switches: 10 };
  const { answered, mixed, failed, switchMs } = await switchUnderLoad(daemon, load);
  t.diagnostic(`${JSON.stringify([...answered])}; rollbacks took ${switchMs.map(Math.round).join(", ")} ms`);
  assert.deepEqual(
    [failed.slice(0, 5), mixed.slice(0, 5)],
    [[], []],
    `${failed.length} failed, ${mixed.length} mixed`,
  );
  assert.ok(answered.size > 2);
});
