-- Databases as they were asked for, with the state they are in. Every column
-- down to params is a wish, the ones after it are facts.
CREATE TABLE clusters (
  project       TEXT NOT NULL DEFAULT 'main', -- the project it belongs to
  name          TEXT NOT NULL,                -- unique in its project
  id            TEXT NOT NULL,                -- never used again, also when a cluster of the same name is made later
  engine        TEXT NOT NULL,                -- the addon that says how it is run
  version       TEXT NOT NULL,                -- of the engine
  topology      TEXT NOT NULL,                -- how its components are put together
  replicas      BIGINT NOT NULL,              -- all its members
  cpu_millis    BIGINT NOT NULL,              -- thousandths of a CPU for each member
  memory_bytes  BIGINT NOT NULL,              -- memory for each member
  storage_bytes BIGINT NOT NULL,              -- for each volume of each member
  params        TEXT NOT NULL,                -- json: the engine's parameters that were set, without defaults
  phase         TEXT NOT NULL CHECK (phase IN ('Pending', 'Creating', 'Running', 'Updating', 'Stopping', 'Stopped', 'Failed', 'Deleting', 'Deleted')), -- Running: the member that takes writes is ready
  code          TEXT NOT NULL DEFAULT '',     -- why it is Failed, or why a member is not ready; `volvox explain` says more
  message       TEXT NOT NULL DEFAULT '',     -- the same in words
  workflow      TEXT NOT NULL,                -- the last operation on it, an id in workflows
  created_at    BIGINT NOT NULL,              -- when it was asked for
  PRIMARY KEY (project, name),
  UNIQUE (id)
);

-- Components of clusters: groups of members that do the same.
CREATE TABLE components (
  project          TEXT NOT NULL DEFAULT 'main', -- the cluster's project
  cluster          TEXT NOT NULL,                -- the cluster
  name             TEXT NOT NULL,                -- in the names of instances, as db in shop-db-0
  kind             TEXT NOT NULL,                -- its component in the engine's addon
  place            BIGINT NOT NULL,              -- components are made in this order, from 0
  replicas         BIGINT NOT NULL,              -- its members
  cpu_millis       BIGINT NOT NULL,              -- thousandths of a CPU for each member
  memory_bytes     BIGINT NOT NULL,              -- memory for each member
  storage_bytes    BIGINT NOT NULL,              -- for each volume of each member
  phase            TEXT NOT NULL CHECK (phase IN ('Pending', 'Creating', 'Running', 'Updating', 'Stopping', 'Stopped', 'Failed', 'Deleting', 'Deleted')), -- Running: the member that takes writes is ready
  code             TEXT NOT NULL DEFAULT '',     -- why it is Failed, or why a member is not ready
  message          TEXT NOT NULL DEFAULT '',     -- the same in words
  primary_instance TEXT NOT NULL DEFAULT '',     -- the member that says it takes writes; empty when none does
  PRIMARY KEY (project, cluster, name)
);

-- Accounts that the computer made in databases for itself and for people. Their passwords are secrets.
CREATE TABLE accounts (
  project   TEXT NOT NULL DEFAULT 'main', -- the cluster's project
  cluster   TEXT NOT NULL,                -- the cluster
  name      TEXT NOT NULL,                -- what it is for, in the words of the addon
  component TEXT NOT NULL,                -- the component that has it
  username  TEXT NOT NULL,                -- who it is to the engine
  admin     BOOLEAN NOT NULL,             -- the one that `volvox db connect` uses
  secret    TEXT NOT NULL,                -- the name of its password in secrets
  PRIMARY KEY (project, cluster, name)
);
