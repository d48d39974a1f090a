-- Projects and their releases. Which release is live is in the project's document.

CREATE TABLE project (
  name TEXT NOT NULL PRIMARY KEY,
  generation INTEGER NOT NULL CHECK (generation >= 1),
  document TEXT NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;

CREATE TABLE release (
  project TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
  number INTEGER NOT NULL CHECK (number >= 1),
  document TEXT NOT NULL,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (project, number)
) STRICT;
