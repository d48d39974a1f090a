-- Layers and their versions. A row of a version is built as those of functions.

-- Numbers are never used again, so the newest is remembered even when its version is gone.
CREATE TABLE layer (
  name TEXT NOT NULL PRIMARY KEY,
  newest INTEGER NOT NULL CHECK (newest >= 1)
) STRICT, WITHOUT ROWID;

CREATE TABLE layer_version (
  layer_name TEXT NOT NULL REFERENCES layer (name),
  number INTEGER NOT NULL CHECK (number >= 1),
  tree_id TEXT NOT NULL,
  archive_sha256 TEXT NOT NULL,
  document TEXT NOT NULL,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (layer_name, number)
) STRICT;
