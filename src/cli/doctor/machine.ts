import { constants } from "node:fs";
import { access, stat, statfs } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { isCode, messageOf } from "../settings.ts";
import { formatBytes } from "../units.ts";
import type { Check } from "./check.ts";

/** Node, disk, data folder and ports: what the daemon itself needs of the machine. */

const NODE_MAJOR_MIN = 24;
const MIB = 1024 * 1024;
/** Below this a build or a burst of logs fills the disk; below the other not even the database can be written. */
const DISK_BYTES_ENOUGH = 1_024 * MIB;
const DISK_BYTES_MIN = 100 * MIB;
const ANSWER_MS_MAX = 2_000;

export function checkNode(version: string, executable: string): Check {
  const name = "Node";
  const found = `${version} (${executable})`;
  if (Number.parseInt(version.slice(1), 10) >= NODE_MAJOR_MIN)
    return { name, status: "ok", found, remedy: undefined };
  return {
    name,
    status: "missing",
    found,
    remedy: "run npm install in the folder of lambdad: it brings one along",
  };
}

/** The nearest folder that exists decides, since the daemon makes the rest. */
export async function checkDisk(dataDir: string): Promise<Check> {
  const name = "Disk";
  let folder = dataDir;
  for (;;) {
    try {
      const { bavail, bsize } = await statfs(folder);
      const bytes = bavail * bsize;
      const found = `${formatBytes(bytes)} free for ${dataDir}`;
      if (bytes >= DISK_BYTES_ENOUGH) return { name, status: "ok", found, remedy: undefined };
      const remedy = "free some, or keep the data elsewhere: lambdad --data DIR";
      return { name, status: bytes < DISK_BYTES_MIN ? "missing" : "weak", found, remedy };
    } catch (error) {
      const parent = dirname(folder);
      if (parent === folder || !(isCode(error, "ENOENT") || isCode(error, "ENOTDIR"))) {
        return {
          name,
          status: "weak",
          found: `cannot be told for ${dataDir}: ${messageOf(error)}`,
          remedy: undefined,
        };
      }
      folder = parent;
    }
  }
}

export async function checkDataDir(dataDir: string): Promise<Check> {
  const name = "Data folder";
  try {
    const facts = await stat(dataDir);
    if (!facts.isDirectory()) {
      return {
        name,
        status: "missing",
        found: `${dataDir} is a file`,
        remedy: "lambdad --data DIR names another",
      };
    }
    await access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
    if ((facts.mode & 0o077) === 0) return { name, status: "ok", found: dataDir, remedy: undefined };
    const mode = (facts.mode & 0o777).toString(8);
    return {
      name,
      status: "weak",
      found: `${dataDir} is open to others (mode ${mode})`,
      remedy: `chmod 700 ${dataDir}`,
    };
  } catch (error) {
    if (isCode(error, "ENOENT")) {
      return { name, status: "ok", found: `${dataDir} (made at the first start)`, remedy: undefined };
    }
    const remedy = "start lambdad as the folder's owner, or with --data DIR";
    return { name, status: "missing", found: `${dataDir}: ${messageOf(error)}`, remedy };
  }
}

/** A port is fine if it is free, or if it is lambdad that has it: `healthPath` answers 200 there. */
export async function checkPort(
  name: string,
  address: {
    readonly host: string;
    readonly port: number;
    readonly healthPath: string;
    readonly flag: string;
  },
  signal: AbortSignal,
): Promise<Check> {
  const shown = `${address.host}:${address.port}`;
  const failure = await tryListen(address.host, address.port);
  if (failure === undefined) return { name, status: "ok", found: `${shown} is free`, remedy: undefined };
  if (failure === "EADDRINUSE") {
    if (await answersHealth(address, signal)) {
      return { name, status: "ok", found: `${shown} is lambdad's, which is running`, remedy: undefined };
    }
    return {
      name,
      status: "missing",
      found: `${shown} is taken by another program`,
      remedy: `stop it (ss -ltnp 'sport = :${address.port}' names it), or choose another port: lambdad ${address.flag} ${address.host}:${address.port + 1_000}`,
    };
  }
  return {
    name,
    status: "missing",
    found: `${shown} cannot be listened on: ${failure}`,
    remedy: `lambdad ${address.flag} HOST:PORT chooses another`,
  };
}

function tryListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

function answersHealth(
  address: { readonly host: string; readonly port: number; readonly healthPath: string },
  signal: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request(
      {
        host: address.host,
        port: address.port,
        path: address.healthPath,
        agent: false,
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)]),
      },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (chunk: string) => {
          text += chunk;
        });
        answer.on("end", () => resolve(answer.statusCode === 200 && /"status"\s*:\s*"ok"/.test(text)));
        answer.on("error", () => resolve(false));
      },
    );
    asked.on("error", () => resolve(false));
    asked.end();
  });
}
