-- Workflows: everything that takes longer than one transaction, such as
-- making a database. A workflow goes on when the process that runs it dies.
CREATE TABLE workflows (
  id         TEXT PRIMARY KEY,              -- its name for ever, chosen by who started it or made up; starting the same id again gives the same workflow
  name       TEXT NOT NULL,                 -- which function it runs, as in database.create
  project    TEXT NOT NULL DEFAULT 'main',  -- the project it belongs to
  kind       TEXT NOT NULL DEFAULT '',      -- the kind of thing it is about, as in cluster
  subject    TEXT NOT NULL DEFAULT '',      -- the name of the thing it is about
  actor      TEXT NOT NULL DEFAULT '',      -- who started it
  status     TEXT NOT NULL CHECK (status IN ('Pending', 'Running', 'Succeeded', 'Failed', 'Cancelled')), -- Pending until an executor takes it, Running until it has ended
  input      TEXT NOT NULL,                 -- json: what it was started with
  output     TEXT,                          -- json: what it returned, once it has Succeeded
  error      TEXT,                          -- json: why it Failed or was Cancelled; while it is Running: why it does not go on
  executor   TEXT NOT NULL DEFAULT '',      -- the process that runs it, or ran it last
  fence      BIGINT NOT NULL DEFAULT 0,     -- grows each time an executor takes it; what an earlier one still writes is refused
  attempts   BIGINT NOT NULL DEFAULT 0,     -- how many times an executor began to run it
  wake_at    BIGINT,                        -- until when it sleeps, or slept last
  created_at BIGINT NOT NULL,               -- when it was started by its caller
  started_at BIGINT,                        -- when an executor first took it
  ended_at   BIGINT,                        -- when it Succeeded, Failed or was Cancelled
  cancel_requested_at BIGINT                -- when somebody asked it to end
);

CREATE INDEX workflows_open ON workflows (id) WHERE status IN ('Pending', 'Running');

CREATE INDEX workflows_subject ON workflows (project, kind, subject);

-- append-only: Steps of workflows: what each has done so far, in order. A
-- workflow that is taken over reads them and goes on behind the last one.
CREATE TABLE steps (
  workflow   TEXT NOT NULL,    -- the workflow's id
  seq        BIGINT NOT NULL,  -- its place in the workflow, from 1, without gaps
  name       TEXT NOT NULL,    -- as the code calls it
  kind       TEXT NOT NULL CHECK (kind IN ('step', 'transaction', 'sleep', 'cancel')), -- step: ran at least once; transaction: exactly once; sleep: a wait; cancel: here the workflow noticed that it should end, instead of the step of this name (without a name: in the sleep before)
  output     TEXT,             -- json: what it returned; for a sleep its end, in microseconds since 1970
  error      TEXT,             -- json: how it failed
  attempts   BIGINT NOT NULL,  -- how many times it ran in the process that recorded it
  started_at BIGINT NOT NULL,  -- when it began
  ended_at   BIGINT NOT NULL,  -- when it was recorded
  PRIMARY KEY (workflow, seq)
);
