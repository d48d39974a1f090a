import { PlatformError } from "../../../core/errors.ts";
import { explainError } from "../../error-response.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest, Reply } from "../route.ts";

/** One line of progress, as docs/api.md has them. */
export type DeployLine = Readonly<Record<string, unknown>>;

/** @throws PlatformError `InvalidArchive` if there is nothing to build and no image is named. */
export function requireUpload({ upload }: ControlRequest, image: string | undefined): void {
  if (image !== undefined || (upload && upload.bytes > 0)) return;
  throw new PlatformError(
    "InvalidArchive",
    "the upload is empty: send a zip, tar, tar.gz or a single file as body",
  );
}

/** Progress as NDJSON while `work` goes on; a failure is the last line, unless the caller has left. */
export function progressReply(
  { log }: Pick<ControlParts, "log">,
  { signal, requestId }: ControlRequest,
  work: (send: (line: DeployLine) => void) => Promise<unknown>,
): Reply {
  return {
    kind: "stream",
    contentType: "application/x-ndjson",
    async run(out) {
      const send = (line: DeployLine) => void out.write(`${JSON.stringify(line)}\n`);
      try {
        await work(send);
      } catch (error) {
        if (signal.aborted) return;
        const { code, message } = explainError(error, { log, requestId });
        send({ type: "error", error: { code, message, requestId } });
      }
    },
  };
}
