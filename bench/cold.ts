import { spawnSync } from "node:child_process";
import { callFunction, createFunction } from "./client.ts";
import { type BenchFunction, nodeFunction, pythonFunction, staticFunction } from "./functions.ts";
import { inTurn, median, type Row, ratioRow } from "./measure.ts";
import { type Daemon, startDaemon, timeProcess } from "./processes.ts";

const RUNS = 20;

export async function measureCold(): Promise<Row[]> {
  await using daemon = await startDaemon();
  const rows: Row[] = [];
  const node = () => timeProcess(process.execPath, ["-e", "0"]);
  rows.push(
    ratioRow(
      "first call, Node handler",
      "ms",
      "node -e 0",
      await inTurn(RUNS, coldCall(daemon, "node", await nodeFunction()), node),
      { kind: "at most", ratio: 2.5 },
    ),
  );
  const python = interpreterOf("python3");
  if (python) {
    const bare = () => timeProcess(python, ["-c", "0"]);
    rows.push(
      ratioRow(
        "first call, Python handler",
        "ms",
        "python3 -c 0",
        await inTurn(RUNS, coldCall(daemon, "python", await pythonFunction()), bare),
        { kind: "at most", ratio: 2.5 },
      ),
    );
  }
  const made = await staticFunction();
  if (made && spawnSync("bwrap", ["--version"]).status === 0) {
    const bare = () =>
      timeProcess("bwrap", [
        "--unshare-all",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",
        "/bin/true",
      ]);
    const { values, yardsticks } = await inTurn(RUNS, coldCall(daemon, "static", made), bare);
    const over = median(values) - median(yardsticks);
    const row = ratioRow(
      "first call, static executable",
      "ms",
      "bare bwrap",
      { values, yardsticks },
      { kind: "at most", ratio: 0 },
    );
    rows.push({ ...row, bar: `at most 15 ms over (${over.toFixed(1)})`, isMet: over <= 15 });
  }
  return rows;
}

/** Creates a function that has never run and times its first call. */
function coldCall(daemon: Daemon, prefix: string, made: BenchFunction): () => Promise<number> {
  let count = 0;
  return async () => {
    const name = `${prefix}-${count++}`;
    await createFunction(daemon, { name, ...made });
    const startedAt = performance.now();
    await callFunction(daemon, name);
    return performance.now() - startedAt;
  };
}

/** The real interpreter behind shims. */
function interpreterOf(name: string): string | undefined {
  const asked = spawnSync(name, ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" });
  return asked.status === 0 ? asked.stdout.trim() : undefined;
}
