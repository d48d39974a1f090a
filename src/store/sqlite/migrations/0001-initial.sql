-- Functions, their published versions and URLs, and keys.
--
-- A row carries its whole value as a JSON document; the other columns repeat what is searched by. The checksum is a
-- CRC-32 of those columns and the document, so that a damaged page is noticed when it is read.

CREATE TABLE function (
  name TEXT NOT NULL PRIMARY KEY,
  generation INTEGER NOT NULL CHECK (generation >= 1),
  tree_id TEXT NOT NULL,
  archive_sha256 TEXT NOT NULL,
  document TEXT NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;

-- Counting a hundred thousand rows takes milliseconds; this is one read.
CREATE TABLE tally (functions INTEGER NOT NULL) STRICT;
INSERT INTO tally VALUES (0);
CREATE TRIGGER function_added AFTER INSERT ON function BEGIN
  UPDATE tally SET functions = functions + 1;
END;
CREATE TRIGGER function_removed AFTER DELETE ON function BEGIN
  UPDATE tally SET functions = functions - 1;
END;

CREATE TABLE version (
  function_name TEXT NOT NULL REFERENCES function (name) ON DELETE CASCADE,
  number INTEGER NOT NULL CHECK (number >= 1),
  tree_id TEXT NOT NULL,
  archive_sha256 TEXT NOT NULL,
  document TEXT NOT NULL,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (function_name, number)
) STRICT;

CREATE TABLE function_url (
  url_id TEXT NOT NULL PRIMARY KEY,
  function_name TEXT NOT NULL REFERENCES function (name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX function_url_by_function ON function_url (function_name);

-- "key" is a word of SQL.
CREATE TABLE access_key (
  id TEXT NOT NULL PRIMARY KEY,
  document TEXT NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;
