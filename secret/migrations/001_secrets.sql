-- Secrets, such as the passwords of databases. Only their names can be read here.
CREATE TABLE secrets (
  project    TEXT NOT NULL DEFAULT 'main', -- the project it belongs to
  name       TEXT NOT NULL,                -- as in shop/admin
  sealed     TEXT NOT NULL,                -- secret: the value, encrypted (AES-256-GCM, base64), bound to project and name
  key_id     TEXT NOT NULL,                -- which key it is encrypted with
  created_at BIGINT NOT NULL,              -- when it was first put
  changed_at BIGINT NOT NULL,              -- when this value was put
  PRIMARY KEY (project, name)
);
