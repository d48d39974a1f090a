import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../src/core/free-port.fake.ts";
import { call } from "./client.ts";

export interface Nginx extends AsyncDisposable {
  readonly port: number;
  /** The one worker, which does the work. */
  readonly workerPid: number;
}

/** nginx as a reverse proxy with one worker and connections that are kept; undefined where it is not installed. */
export async function startNginx(upstreamPort: number): Promise<Nginx | undefined> {
  if (spawnSync("nginx", ["-v"]).status !== 0) return undefined;
  const dir = mkdtempSync(join(tmpdir(), "lambdad-bench-nginx-"));
  const port = await freePort();
  const file = join(dir, "nginx.conf");
  writeFileSync(file, configuration(dir, port, upstreamPort));
  const master = spawn("nginx", ["-p", dir, "-c", file, "-e", join(dir, "error.log")], { stdio: "ignore" });
  const exited = once(master, "exit");
  const stop = async () => {
    master.kill("SIGTERM");
    await exited;
    rmSync(dir, { recursive: true, force: true });
  };
  for (let tries = 0; ; tries += 1) {
    const answer = await call({ port, path: "/" }).catch(() => undefined);
    if (answer?.status === 200) break;
    if (tries === 200) {
      await stop();
      return undefined;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  const children = readFileSync(`/proc/${master.pid}/task/${master.pid}/children`, "utf8");
  return { port, workerPid: Number(children.trim().split(" ")[0]), [Symbol.asyncDispose]: stop };
}

function configuration(dir: string, port: number, upstreamPort: number): string {
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `
daemon off;
worker_processes 1;
pid ${dir}/pid;
events { worker_connections 1024; }
http {
  access_log off;
  ${folders.map((name) => `${name}_temp_path ${dir}/${name};`).join("\n  ")}
  keepalive_requests 1000000;
  upstream node { server 127.0.0.1:${upstreamPort}; keepalive 64; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://node;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`;
}
