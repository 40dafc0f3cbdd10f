-- Every transaction that wrote something: when, by whom and what for. A row
-- of any table names, in its column tx, the transaction that wrote it.
CREATE TABLE transactions (
    tx         BIGINT PRIMARY KEY, -- The number of the transaction: one more than that of the one before.
    created_at BIGINT NOT NULL,    -- When it was made; later than that of every transaction before.
    actor      TEXT NOT NULL,      -- Who made it: user:NAME, workflow:ID or system.
    name       TEXT NOT NULL,      -- What it was for; may be empty.
    workflow   TEXT,               -- The workflow it belongs to, if any.
    step       BIGINT              -- The step of that workflow.
);

-- append-only: What was done to the tables themselves, by which package.
CREATE TABLE migrations (
    owner      TEXT NOT NULL,   -- The package that owns the tables.
    number     BIGINT NOT NULL, -- The number of the migration within its package.
    name       TEXT NOT NULL,   -- Its name.
    hash       TEXT NOT NULL,   -- The SHA-256 of its text.
    applied_at BIGINT NOT NULL, -- When it was done.
    PRIMARY KEY (owner, number)
);
