-- What a schedule fires at next apart from when, the history of what became of its instants, and rules of EventBridge.

-- next_at is when it is due: later than its instant by its jitter.
ALTER TABLE schedule ADD COLUMN instant_at INTEGER;

-- 0 on time, 1 late, 2 by hand, 3 skipped, 4 missed.
ALTER TABLE schedule_firing ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE schedule_firing ADD COLUMN fired_at INTEGER NOT NULL DEFAULT 0;

-- A schedule forgets its own instants when it fires.
DROP INDEX schedule_firing_by_instant;

CREATE TABLE rule (
  name TEXT NOT NULL PRIMARY KEY,
  document TEXT NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;
