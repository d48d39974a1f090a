/** A server of SQS and the flags by which a daemon finds it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type FakeSqs, startFakeSqs } from "../../src/events/sqs/sqs-server.fake.ts";
import { makeFolder } from "../e2e/daemon.fake.ts";

export async function startQueues(): Promise<
  AsyncDisposable & { readonly sqs: FakeSqs; readonly flags: readonly string[] }
> {
  const sqs = await startFakeSqs();
  const folder = makeFolder();
  const secretFile = join(folder.path, "sqs.secret");
  writeFileSync(secretFile, `${sqs.login.secret}\n`, { mode: 0o600 });
  return {
    sqs,
    flags: [
      ...["--sqs-endpoint", sqs.url],
      ...["--sqs-access-key-id", sqs.login.accessKeyId],
      ...["--sqs-secret-file", secretFile],
    ],
    async [Symbol.asyncDispose]() {
      await sqs[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}
