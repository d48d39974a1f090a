import { join } from "node:path";
import { inTurn, type Row, ratioRow } from "./measure.ts";
import { ROOT, startDaemon, timeProcess } from "./processes.ts";

const RUNS = 15;

export async function measureStart(): Promise<Row[]> {
  const bare = () => timeProcess(process.execPath, ["-e", "0"]);
  const daemonStart = async () => {
    await using daemon = await startDaemon();
    return daemon.startMs;
  };
  const version = () => timeProcess(join(ROOT, "bin/lambda"), ["--version"]);
  return [
    ratioRow("daemon start to serving", "ms", "node -e 0", await inTurn(RUNS, daemonStart, bare), {
      kind: "at most",
      ratio: 3,
    }),
    ratioRow("lambda --version", "ms", "node -e 0", await inTurn(RUNS, version, bare), {
      kind: "at most",
      ratio: 1.5,
    }),
  ];
}
