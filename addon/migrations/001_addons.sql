-- The engines that databases can be made of, as they were found when the
-- computer started.
CREATE TABLE addons (
  name        TEXT PRIMARY KEY, -- what --engine wants
  title       TEXT NOT NULL,    -- what people call it
  description TEXT NOT NULL,    -- what it is
  actions     TEXT NOT NULL     -- json: what it can do, by component: an absent action is an absent capability
);

-- The versions of the engines, and what their members are made of.
CREATE TABLE addon_versions (
  addon      TEXT NOT NULL,    -- the engine
  name       TEXT NOT NULL,    -- what --version wants
  is_default BOOLEAN NOT NULL, -- it is taken when none is named
  images     TEXT NOT NULL,    -- json: the image of each kind of member, deb:… or file:…
  PRIMARY KEY (addon, name)
);

-- The ways in which the members of an engine work together.
CREATE TABLE addon_topologies (
  addon        TEXT NOT NULL,   -- the engine
  name         TEXT NOT NULL,   -- what --topology wants
  description  TEXT NOT NULL,   -- what it is
  min_replicas BIGINT NOT NULL, -- the fewest members it has
  max_replicas BIGINT NOT NULL, -- the most members it has
  place        BIGINT NOT NULL, -- the first that allows as many members as were asked for is taken
  PRIMARY KEY (addon, name)
);

-- The parameters of the engines, which --param sets.
CREATE TABLE addon_parameters (
  addon         TEXT NOT NULL, -- the engine
  component     TEXT NOT NULL, -- the kind of member that it is for
  name          TEXT NOT NULL, -- what --param wants before the =
  doc           TEXT NOT NULL, -- what it does
  allowed       TEXT NOT NULL, -- the values that it may have, in words
  default_value TEXT NOT NULL, -- the value that it has when none is set, as an expression of the member's size
  at_most       TEXT NOT NULL, -- a bound that depends on the member's size; empty if there is none
  type          TEXT NOT NULL CHECK (type IN ('string', 'integer', 'number', 'boolean')), -- string, integer, number or boolean
  unit          TEXT NOT NULL, -- of an integer: bytes or ms; empty for a plain number
  apply         TEXT NOT NULL CHECK (apply IN ('live', 'reload', 'restart', 'never')), -- what a change of it takes: live, reload, restart, or never after creation
  schema        TEXT NOT NULL, -- json: JSON Schema of the value
  PRIMARY KEY (addon, component, name)
);
