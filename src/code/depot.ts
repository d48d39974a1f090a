import type { CodeRef } from "../core/function.ts";

/** Code trees on this host: content-addressed, unpacked once, verified, read-only. */
export interface CodeDepot {
  /**
   * Takes in an archive that was uploaded to `file` (a zip, a tar, a gzipped tar or a single file; told apart by
   * content, `name` helps with a single file). Verifies it, unpacks it, and keeps both. What is there already is reused.
   *
   * @throws PlatformError `InvalidArchive` with entry and rule, `PayloadTooLarge`, `StorageFull`.
   */
  takeIn(
    upload: { readonly file: string; readonly name: string | undefined },
    options: { readonly signal: AbortSignal },
  ): Promise<CodeRef>;
  /** Takes in a folder on this host that a build has produced, with the archive it came from. Moves or copies it. */
  takeInFolder(
    folder: string,
    archive: Pick<CodeRef, "archiveSha256" | "archiveBytes">,
    options: { readonly signal: AbortSignal },
  ): Promise<CodeRef>;
  /**
   * The folder with the tree. Its content was verified when it was unpacked and once again since the daemon started.
   *
   * @throws PlatformError `StoreUnavailable` if it is missing or was changed.
   */
  openTree(treeId: string): Promise<string>;
  /** The archive as it was uploaded. */
  findArchive(archiveSha256: string): Promise<string | undefined>;
  /** Removes what is not named; never what is being taken in or was opened in the last hour. */
  collect(inUse: {
    readonly treeIds: ReadonlySet<string>;
    readonly archives: ReadonlySet<string>;
  }): Promise<void>;
}
