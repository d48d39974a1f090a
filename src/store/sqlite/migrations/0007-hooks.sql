-- Hooks, and what came to them.

CREATE TABLE hook (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  function_name TEXT NOT NULL,
  document TEXT NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;

CREATE INDEX hook_by_function ON hook (function_name);

-- No reference, since a hook that deploys may be there before its function.
CREATE TRIGGER function_removed_hooks AFTER DELETE ON function BEGIN
  DELETE FROM hook WHERE function_name = OLD.name;
END;

-- The key holds the time, as that of an event does. What never changes is in `head`, under a checksum. Outcomes:
-- 0 accepted, 1 answered, 2 ignored, 3 duplicate, 4 refused, 5 waiting, 6 building, 7 deployed, 8 failed, 9 superseded.
CREATE TABLE hook_delivery (
  sequence INTEGER PRIMARY KEY,
  hook_id TEXT NOT NULL REFERENCES hook (id) ON DELETE CASCADE,
  head TEXT NOT NULL,
  checksum INTEGER NOT NULL,
  -- Of what it enqueued, and of the delivery that it repeats.
  event_sequence INTEGER,
  repeats INTEGER,
  -- What is to be deployed; null of others.
  commit_id TEXT,
  outcome INTEGER NOT NULL,
  note TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  started_at INTEGER,
  ended_at INTEGER,
  version INTEGER,
  log TEXT
) STRICT;

CREATE INDEX hook_delivery_by_hook ON hook_delivery (hook_id, sequence);
CREATE INDEX hook_delivery_refused ON hook_delivery (hook_id, sequence) WHERE outcome = 4;
CREATE INDEX hook_delivery_open ON hook_delivery (sequence) WHERE outcome IN (5, 6);
CREATE INDEX hook_delivery_commit ON hook_delivery (hook_id, commit_id) WHERE outcome = 7;

-- By what deliveries are known again: the first 16 bytes of a hash.
CREATE TABLE hook_mark (
  hook_id TEXT NOT NULL REFERENCES hook (id) ON DELETE CASCADE,
  mark BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (hook_id, mark)
) STRICT, WITHOUT ROWID;

CREATE INDEX hook_mark_by_age ON hook_mark (hook_id, at);
