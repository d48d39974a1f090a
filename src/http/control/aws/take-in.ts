import { randomUUID } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isPlatformError, PlatformError } from "../../../core/errors.ts";
import type { CodeRef } from "../../../core/function.ts";
import type { ControlParts } from "../parts.ts";
import { BAD_ZIP } from "./wire.ts";

/** Unpacks and verifies. The upload goes through a file since archives are read from their end. */
export async function takeIn(parts: ControlParts, zip: Buffer, signal: AbortSignal): Promise<CodeRef> {
  await mkdir(parts.uploadDir, { recursive: true, mode: 0o700 });
  const file = join(parts.uploadDir, `aws-${randomUUID()}.zip`);
  try {
    await writeFile(file, zip, { flag: "wx", mode: 0o600 });
    return await parts.depot.takeIn({ file, name: undefined }, { signal });
  } catch (error) {
    if (isPlatformError(error, "InvalidArchive")) {
      throw new PlatformError("InvalidArchive", `${BAD_ZIP} (${error.message})`, { cause: error });
    }
    throw error;
  } finally {
    await rm(file, { force: true });
  }
}
