-- append-only: Events: what happened to things, one line each.
CREATE TABLE events (
  id         TEXT PRIMARY KEY,             -- made up; later events have greater ones, to the millisecond
  created_at BIGINT NOT NULL,              -- when it was recorded
  project    TEXT NOT NULL DEFAULT 'main', -- the project of the thing
  kind       TEXT NOT NULL,                -- the kind of thing: cluster, instance, machine
  name       TEXT NOT NULL,                -- the name of the thing
  level      TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')), -- info, warning or error
  code       TEXT NOT NULL DEFAULT '',     -- what `volvox explain` knows about it; empty when nothing is wrong
  message    TEXT NOT NULL                 -- what happened, for people
);

CREATE INDEX events_thing ON events (project, kind, name, created_at);
