-- Events and what became of them, and schedules.
--
-- The key of an event is its number (event-sequence.ts): later ones are larger, so that inserts go to the end of the
-- tree. What never changes is in `head`, under a checksum. States: 0 queued, 1 running, 2 done, 3 failed, 4 expired,
-- 5 cancelled.

CREATE TABLE event (
  sequence INTEGER PRIMARY KEY,
  function_name TEXT NOT NULL,
  -- Where it waits; null for that of its function.
  lane TEXT,
  qualifier TEXT,
  head TEXT NOT NULL,
  checksum INTEGER NOT NULL,
  -- Null where it is large and in event_bytes.
  payload BLOB,
  state INTEGER NOT NULL DEFAULT 0,
  aged_from_at INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  -- Number and begin of the last attempt; a claim is good as long as its number is here.
  attempt INTEGER NOT NULL DEFAULT 0,
  started_at INTEGER,
  errors INTEGER NOT NULL DEFAULT 0,
  setbacks INTEGER NOT NULL DEFAULT 0,
  attempts TEXT,
  ended_at INTEGER,
  reason TEXT,
  result_head TEXT,
  result BLOB
) STRICT;

CREATE INDEX event_by_function ON event (function_name, sequence);
CREATE INDEX event_open ON event (function_name, sequence) WHERE state < 2;
CREATE INDEX event_dead ON event (function_name, sequence) WHERE state IN (3, 4);

-- Payloads (part 0) and results (part 1) that would make the rows above long.
CREATE TABLE event_bytes (
  sequence INTEGER NOT NULL REFERENCES event (sequence) ON DELETE CASCADE,
  part INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (sequence, part)
) STRICT;

-- Idempotency keys, and the event that used each first.
CREATE TABLE event_key (
  function_name TEXT NOT NULL,
  key TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY (function_name, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX event_key_by_sequence ON event_key (sequence);

CREATE TABLE schedule (
  id TEXT NOT NULL PRIMARY KEY,
  function_name TEXT NOT NULL REFERENCES function (name) ON DELETE CASCADE,
  next_at INTEGER,
  document TEXT NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;

CREATE INDEX schedule_due ON schedule (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedule_by_function ON schedule (function_name);

-- Each instant that a schedule has fired at, so that none does twice.
CREATE TABLE schedule_firing (
  schedule_id TEXT NOT NULL REFERENCES schedule (id) ON DELETE CASCADE,
  instant_at INTEGER NOT NULL,
  -- Of its event; null where the instant was passed over.
  sequence INTEGER,
  PRIMARY KEY (schedule_id, instant_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX schedule_firing_by_instant ON schedule_firing (instant_at);
