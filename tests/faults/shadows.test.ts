/** A daemon is killed while copies of calls run: for the calls themselves that is as if there were no copies. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { makeFolder, processesWith, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";

const TIMES = Number(process.env.FAULTS_TIMES ?? 20);
const CALLERS = 8;
/** Copies that run when the daemon is killed. */
const COPIES_MIN = 3;
const MARK = `shadow-kills-${process.pid}`;

interface Recorder extends AsyncDisposable {
  readonly port: number;
  /** How often each call was run, by its number. */
  readonly live: ReadonlyMap<string, number>;
  readonly copies: ReadonlyMap<string, number>;
  /** Copies that wait for an answer now. */
  held(): number;
  /** Answers all that wait: a daemon that stops waits for what runs. */
  release(): void;
}

/** Functions call it when they run. Live ones are answered; copies are not, so that they go on running. */
async function openRecorder(): Promise<Recorder> {
  const counts = { live: new Map<string, number>(), copies: new Map<string, number>() };
  const held = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://x");
    const counted = pathname === "/live" ? counts.live : counts.copies;
    const call = searchParams.get("n") ?? "";
    counted.set(call, (counted.get(call) ?? 0) + 1);
    if (pathname === "/live") {
      response.end();
      return;
    }
    held.add(response);
    response.on("close", () => held.delete(response));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    ...counts,
    port: (server.address() as AddressInfo).port,
    held: () => held.size,
    release: () => {
      for (const response of held) response.end();
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await server[Symbol.asyncDispose]();
    },
  };
}

const code = (side: string, port: number) =>
  `export const handler = async (event) => {
    await (await fetch("http://127.0.0.1:${port}/${side}?" + event.rawQueryString)).text();
    return "${side}";
  };\n`;

async function shadowState(daemon: TestDaemon): Promise<unknown> {
  const { shadow, liveVersion } = JSON.parse((await daemon.control("GET", "/v1/functions/f/shadow")).text);
  return { state: shadow?.state, liveVersion };
}

it(`loses and doubles no call and leaves nothing when it is killed while copies run, ${TIMES} times`, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), "lambdad-shadow-kills-"));
  await using recorder = await openRecorder();
  using folder = makeFolder({ "index.mjs": code("live", recorder.port) });
  const answered: string[] = [];
  const wrong: string[] = [];
  let made = 0;
  let copiesKilled = 0;
  try {
    {
      await using first = await startDaemon({ dataDir });
      await first.deploy(folder.path, "f", "-e", `MARK=${MARK}`, "--timeout", "600");
      writeFileSync(join(folder.path, "index.mjs"), code("copy", recorder.port));
      await first.deploy(folder.path, "f", "--shadow", "100%", "--for", "1d");
    }
    for (let kills = 0; kills < TIMES; kills += 1) {
      await using daemon = await startDaemon({ dataDir });
      assert.deepEqual(await shadowState(daemon), { state: "running", liveVersion: 1 });
      let isKilled = false;
      const calling = Array.from({ length: CALLERS }, async () => {
        while (!isKilled) {
          made += 1;
          const call = String(made);
          const answer = await daemon.call("f", `/?n=${call}`).catch(() => undefined);
          if (answer?.status === 200 && answer.text === "live") answered.push(call);
          else if (answer !== undefined) wrong.push(`${call}: ${answer.status} ${answer.text}`);
        }
      });
      await until(() => recorder.held() >= COPIES_MIN);
      copiesKilled += recorder.held();
      isKilled = true;
      await daemon.stop("SIGKILL");
      await Promise.all(calling);
      await until(() => processesWith(MARK).length === 0 && recorder.held() === 0);
    }
    await using last = await startDaemon({ dataDir });
    assert.deepEqual(await shadowState(last), { state: "running", liveVersion: 1 });
    assert.equal((await last.call("f", "/?n=last")).text, "live");
    await until(() => recorder.copies.has("last"));
    recorder.release();
    assert.deepEqual(wrong, []);
    assert.deepEqual(
      answered.filter((call) => recorder.live.get(call) !== 1),
      [],
      "answered calls that did not run once",
    );
    assert.deepEqual(
      [...recorder.live, ...recorder.copies].filter(([, times]) => times > 1),
      [],
      "calls or copies that ran twice",
    );
    assert.deepEqual(
      [...recorder.copies.keys()].filter((call) => !recorder.live.has(call)),
      [],
      "copies of what did not run",
    );
    t.diagnostic(JSON.stringify({ kills: TIMES, calls: made, answered: answered.length, copiesKilled }));
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
  await until(() => processesWith(MARK).length === 0);
});
