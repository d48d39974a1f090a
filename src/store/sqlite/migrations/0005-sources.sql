-- Queues that functions are called for. A row is built as those of functions.

CREATE TABLE source (
  id TEXT NOT NULL PRIMARY KEY,
  function_name TEXT NOT NULL REFERENCES function (name) ON DELETE CASCADE,
  generation INTEGER NOT NULL CHECK (generation >= 1),
  document TEXT NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;

CREATE INDEX source_by_function ON source (function_name, id);
