import assert from "node:assert/strict";
import { it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { asStorageError } from "./storage-error.ts";

const failure = (code: string) => Object.assign(new Error(`${code}: it failed`), { code });

it("tells a disk that is full from one that cannot be written to, and leaves other errors alone", () => {
  for (const code of ["ENOSPC", "EDQUOT"]) {
    assert.ok(isPlatformError(asStorageError(failure(code), "/data/code"), "StorageFull"), code);
  }
  for (const code of ["EROFS", "EIO"]) {
    const error = asStorageError(failure(code), "/data/code");
    assert.ok(isPlatformError(error, "StoreUnavailable"), code);
    assert.match(error.message, new RegExp(`/data/code.*${code}.*check the disk`));
  }
  const other = failure("EACCES");
  assert.equal(asStorageError(other, "/data/code"), other);
});
