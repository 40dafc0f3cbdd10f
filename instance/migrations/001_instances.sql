-- Instance sets: so many instances of one kind, with stable names. The columns
-- down to replicas are wishes, the ones after it are facts.
CREATE TABLE instance_sets (
  project    TEXT NOT NULL DEFAULT 'main',  -- the project it belongs to
  name       TEXT NOT NULL,                 -- unique in its project, as in shop-pg
  cluster    TEXT NOT NULL,                 -- the cluster it is a part of
  component  TEXT NOT NULL,                 -- the component of the cluster
  replicas   BIGINT NOT NULL,               -- how many instances are wished
  ready      BIGINT NOT NULL,               -- how many of them do their work
  phase      TEXT NOT NULL CHECK (phase IN ('Pending', 'Creating', 'Running', 'Updating', 'Stopping', 'Stopped', 'Failed', 'Deleting', 'Deleted')), -- the state it is in
  created_at BIGINT NOT NULL,               -- when it was wished for
  PRIMARY KEY (project, name)
);

-- Instances: containers with a name, an address, volumes and limits, each on
-- one machine. The columns down to generation are wishes, the ones after it
-- are facts, as the machine's agent reported them last.
CREATE TABLE instances (
  id         TEXT PRIMARY KEY,              -- never used again; the container's name in the runtime
  project    TEXT NOT NULL DEFAULT 'main',  -- the project it belongs to
  name       TEXT NOT NULL,                 -- unique in its project, as in shop-pg-0
  cluster    TEXT NOT NULL,                 -- the cluster it is a member of
  component  TEXT NOT NULL,                 -- the component of the cluster
  instance_set TEXT NOT NULL,               -- the set it is one of; empty for one by itself
  ordinal    BIGINT NOT NULL,               -- its number in the set, from 0
  machine    TEXT NOT NULL,                 -- the machine it is on
  address    TEXT NOT NULL,                 -- its own IPv4 address
  desired    TEXT NOT NULL CHECK (desired IN ('Running', 'Stopped', 'Deleted')), -- what is wished: Running, Stopped or Deleted
  generation BIGINT NOT NULL DEFAULT 1,     -- grows with every change of a wish
  phase      TEXT NOT NULL CHECK (phase IN ('Pending', 'Creating', 'Running', 'Updating', 'Stopping', 'Stopped', 'Failed', 'Deleting', 'Deleted')), -- the state it is in
  observed   BIGINT NOT NULL DEFAULT 0,     -- the generation that the facts are of
  role       TEXT NOT NULL DEFAULT '',      -- what the engine says it is, as in primary; empty when unknown
  ready      BOOLEAN NOT NULL DEFAULT FALSE, -- it does its work
  restarts   BIGINT NOT NULL DEFAULT 0,     -- how often its program ended by itself and was started again
  exit_code  BIGINT,                        -- of the last end of its program; 128+n when signal n ended it
  code       TEXT NOT NULL DEFAULT '',      -- why it is Failed or not ready; `volvox explain` says more
  message    TEXT NOT NULL DEFAULT '',      -- the same in words, or what is being done
  created_at BIGINT NOT NULL,               -- when it was wished for
  started_at BIGINT,                        -- when the program that runs was started
  UNIQUE (project, name),
  UNIQUE (address)
);

CREATE INDEX instances_cluster ON instances (project, cluster);

CREATE INDEX instances_set ON instances (project, instance_set);

CREATE INDEX instances_machine ON instances (machine);

-- What each instance is made of, with the sums that it reserves on its machine.
CREATE TABLE instance_specs (
  id            TEXT PRIMARY KEY,              -- the instance's id
  project       TEXT NOT NULL DEFAULT 'main',  -- the instance's project
  name          TEXT NOT NULL,                 -- the instance's name
  machine       TEXT NOT NULL,                 -- the machine it is on
  image         TEXT NOT NULL,                 -- what its container is made of, deb:… or file:…
  cpu_millis    BIGINT NOT NULL,               -- thousandths of a CPU that it may use
  memory_bytes  BIGINT NOT NULL,               -- memory that it may use
  storage_bytes BIGINT NOT NULL,               -- sum of its volumes
  spec          TEXT NOT NULL                  -- json: command, environment, files, names of secrets, volumes, ports, limits, probe
);

-- Volumes: directories on a machine that belong to one instance and stay when its container goes.
CREATE TABLE volumes (
  instance_id TEXT NOT NULL,                 -- the instance's id
  name        TEXT NOT NULL,                 -- unique in the instance, as in data
  project     TEXT NOT NULL DEFAULT 'main',  -- the instance's project
  instance    TEXT NOT NULL,                 -- the instance's name
  machine     TEXT NOT NULL,                 -- the machine it is on
  path        TEXT NOT NULL,                 -- where the instance sees it
  bytes       BIGINT NOT NULL,               -- space reserved for it
  created_at  BIGINT NOT NULL,               -- when it was wished for
  PRIMARY KEY (instance_id, name)
);

-- Why each instance is on its machine.
CREATE TABLE placements (
  instance_id TEXT PRIMARY KEY,              -- the instance's id
  project     TEXT NOT NULL DEFAULT 'main',  -- the instance's project
  instance    TEXT NOT NULL,                 -- the instance's name
  machine     TEXT NOT NULL,                 -- the machine chosen
  reason      TEXT NOT NULL,                 -- why, in words
  detail      TEXT NOT NULL,                 -- json: what was compared
  created_at  BIGINT NOT NULL                -- when it was decided
);

-- Actions: scripts of an addon, run once in an instance. The rows of a deleted instance go with it.
CREATE TABLE actions (
  id          TEXT PRIMARY KEY,              -- idempotency key: the same id runs once
  project     TEXT NOT NULL DEFAULT 'main',  -- the instance's project
  instance    TEXT NOT NULL,                 -- the instance's name
  instance_id TEXT NOT NULL,                 -- the instance's id
  machine     TEXT NOT NULL,                 -- the machine it runs on
  name        TEXT NOT NULL,                 -- as in init
  place       TEXT NOT NULL CHECK (place IN ('engine', 'job')), -- engine: in the running container; job: in one of its own
  command     TEXT NOT NULL,                 -- json: program and arguments
  env         TEXT NOT NULL,                 -- json: the DB_ variables
  context     TEXT NOT NULL,                 -- json: what DB_CTX names a file of
  timeout_ms  BIGINT NOT NULL,               -- longest time for all its attempts, in milliseconds
  status      TEXT NOT NULL CHECK (status IN ('Pending', 'Done')), -- Pending or Done
  exit        BIGINT,                        -- 0 done, 10 in progress, 11 not applicable, 20 transient, 30 permanent, 40 refused, 124 timed out
  output      TEXT,                          -- json: what it answered
  log         TEXT NOT NULL DEFAULT '',      -- the last 4 KiB of what it printed
  created_at  BIGINT NOT NULL,               -- when it was asked for
  ended_at    BIGINT                         -- when its result was recorded
);

CREATE INDEX actions_instance ON actions (instance_id, status);
