-- Machines: the parts that the computer is made of.
CREATE TABLE machines (
  name         TEXT PRIMARY KEY,         -- as in its host name
  id           TEXT NOT NULL UNIQUE,     -- never used again
  phase        TEXT NOT NULL CHECK (phase IN ('Pending', 'Creating', 'Running', 'Updating', 'Stopping', 'Stopped', 'Failed', 'Deleting', 'Deleted')), -- the state it is in
  address      TEXT NOT NULL,            -- where other machines reach it
  range        TEXT NOT NULL,            -- the network of its instances
  arch         TEXT NOT NULL,            -- of its processor, as in amd64
  kernel       TEXT NOT NULL,            -- version of its Linux
  os           TEXT NOT NULL,            -- the distribution it runs
  cpu_millis   BIGINT NOT NULL,          -- thousandths of a CPU that it has
  memory_bytes BIGINT NOT NULL,          -- memory that it has
  disk_bytes   BIGINT NOT NULL,          -- space for volumes that it had when it was registered, with what volumes reserve
  version      TEXT NOT NULL,            -- of its agent
  boot_id      TEXT NOT NULL,            -- changes when it is booted
  message      TEXT NOT NULL DEFAULT '', -- why it is in its phase
  joined_at    BIGINT NOT NULL,          -- when it was first registered
  booted_at    BIGINT NOT NULL           -- when its agent last started
);

-- Images that are on machines: what containers are started from.
CREATE TABLE images (
  machine    TEXT NOT NULL,   -- the machine it is on
  ref        TEXT NOT NULL,   -- what was asked for, deb:… or file:…
  digest     TEXT NOT NULL,   -- checksum of its recorded contents
  bytes      BIGINT NOT NULL, -- disk space that it takes
  fetched_at BIGINT NOT NULL, -- when it came to the machine
  PRIMARY KEY (machine, ref, digest)
);

-- Which Debian packages are in an image.
CREATE TABLE image_packages (
  digest  TEXT NOT NULL, -- the image's digest
  name    TEXT NOT NULL, -- name of the package
  version TEXT NOT NULL, -- its version
  sha256  TEXT NOT NULL, -- checksum of the package's file
  PRIMARY KEY (digest, name)
);
