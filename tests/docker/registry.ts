import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** A registry on the loopback that asks for a password, built here from Go's module proxy. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`; engines need no TLS for that. */
  readonly place: string;
  readonly user: string;
  /** Read anew for every request. */
  readonly passwordFile: string;
}

export async function startRegistry(): Promise<TestRegistry> {
  const folder = await mkdtemp(join(tmpdir(), "registry-"));
  const program = join(folder, "registry");
  await promisify(execFile)("go", ["build", "-o", program, "."], {
    cwd: join(import.meta.dirname, "registry"),
    env: { ...process.env, CGO_ENABLED: "0" },
  });
  const passwordFile = join(folder, "password");
  await writeFile(passwordFile, "open sesame\n");
  const user = "tester";
  const child = spawn(program, [user, passwordFile], { stdio: ["ignore", "pipe", "inherit"] });
  const port = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const found = /listening on (\d+)/.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the registry ended with ${code}`)));
  });
  return {
    place: `127.0.0.1:${port}`,
    user,
    passwordFile,
    async [Symbol.asyncDispose]() {
      child.removeAllListeners("exit");
      const ended = once(child, "exit");
      child.kill();
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
