-- Where HTTP requests lead, by method, host and path.

CREATE TABLE route (
  id TEXT NOT NULL PRIMARY KEY,
  -- Null for an answer without a function.
  function_name TEXT REFERENCES function (name) ON DELETE CASCADE,
  -- '' for every host that means nothing else.
  host TEXT NOT NULL,
  method TEXT NOT NULL,
  -- The path without the names of its parameters: no request tells two routes apart that have the same.
  shape TEXT NOT NULL,
  document TEXT NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX route_by_key ON route (host, shape, method);
CREATE INDEX route_by_function ON route (function_name);
