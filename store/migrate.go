package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/volvox-os/volvox"
)

// migrationLimit is how long looking at the schema may take: it is done once,
// when everything else starts too.
const migrationLimit = 5 * time.Minute

// Migrate brings the kernel to the given schemas, in their order: a schema
// stands after those whose tables its own name. Each migration is one
// transaction with the record of it. Called again it does nothing. A kernel
// that a newer version wrote is E_NEWER_SCHEMA, and an applied migration
// whose text is another now an error. Only tables of schemas that were given
// can be asked, watched and seen in the past.
func (db *DB) Migrate(ctx context.Context, schemas ...Schema) error {
	if err := refuseNested(ctx); err != nil {
		return err
	}
	db.migrating.Lock()
	defer db.migrating.Unlock()
	known := maps.Clone(db.known)
	for _, s := range schemas {
		p, err := parseSchema(s)
		if err != nil {
			return volvox.Errorf(volvox.Internal, "the tables of %s cannot be made", s.Owner).From(err)
		}
		if err := db.apply(ctx, p); err != nil {
			return err
		}
		known[s.Owner] = p
	}
	var relations []Relation
	err := db.driver.View(ctx, Look{Limit: migrationLimit}, func(c Conn) (err error) {
		relations, err = db.driver.Inspect(c)
		return err
	})
	if err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	catalog := &Catalog{}
	for _, r := range relations {
		for _, owner := range slices.Sorted(maps.Keys(known)) {
			if p := known[owner].tables[r.Name]; p != nil {
				catalog.Entries = append(catalog.Entries, newEntry(owner, p, r))
				break
			}
		}
	}
	db.known = known
	db.catalog.Store(catalog)
	return nil
}

// apply runs the migrations of one schema that were not run yet.
func (db *DB) apply(ctx context.Context, p parsedOwner) error {
	done, err := db.applied(ctx, p.owner)
	if err != nil {
		return fmt.Errorf("read the migrations of %s: %w", p.owner, err)
	}
	for _, m := range p.migrations {
		hash, ok := done[m.number]
		delete(done, m.number)
		switch {
		case ok && hash == m.hash:
		case ok:
			return volvox.Errorf(volvox.Internal, "the kernel does not match this version of Volvox").
				Because("migration %d of %s was another one when it was applied", m.number, p.owner)
		default:
			if err := db.migrate(ctx, p.owner, m); err != nil {
				return volvox.Errorf(volvox.CodeOf(err), "migration %d_%s of %s failed", m.number, m.name, p.owner).From(err)
			}
		}
	}
	if len(done) > 0 {
		return volvox.Errorf(volvox.NewerSchema, "the kernel was written by a newer version of Volvox").
			Because("it has %d migrations of %s that this version does not know", len(done), p.owner).
			WithTry("use the version that wrote it, or a newer one")
	}
	return nil
}

// applied returns the hashes of an owner's migrations by number.
func (db *DB) applied(ctx context.Context, owner string) (map[int64]string, error) {
	done := map[int64]string{}
	err := db.driver.View(ctx, Look{Limit: migrationLimit}, func(c Conn) error {
		have, err := db.driver.Inspect(c)
		if err != nil || !slices.ContainsFunc(have, func(r Relation) bool { return r.Name == "migrations" }) {
			return err
		}
		rows, err := c.Query("SELECT number, hash FROM migrations WHERE owner = $1", []any{owner})
		if err != nil {
			return err
		}
		defer rows.Close()
		for {
			more, err := rows.Next()
			if err != nil || !more {
				return err
			}
			done[rows.Int(0)] = rows.Text(1)
		}
	})
	return done, err
}

func (db *DB) migrate(ctx context.Context, owner string, m migration) error {
	meta := metaOf(ctx)
	meta.Name, meta.Migration = fmt.Sprintf("migrate %s %d_%s", owner, m.number, m.name), true
	return db.driver.Update(ctx, meta, func(c Conn) error {
		for _, s := range m.statements {
			if err := db.runStatement(c, s); err != nil {
				return fmt.Errorf("%s: %w", firstWords(s.text), err)
			}
		}
		_, err := c.Exec("INSERT INTO migrations (owner, number, name, hash, applied_at) VALUES ($1, $2, $3, $4, $5)",
			[]any{owner, m.number, m.name, m.hash, time.Now().UnixMicro()})
		return err
	})
}

// runStatement runs one statement of a migration and keeps histories right.
func (db *DB) runStatement(c Conn, s statement) error {
	text := s.text
	switch s.verb {
	case "create table":
		text = s.versioned()
	case "alter table":
		if err := db.driver.Release(c, s.table); err != nil {
			return err
		}
	case "drop table":
		if err := db.driver.Release(c, s.table); err != nil {
			return err
		}
		if _, err := c.Exec("DROP TABLE IF EXISTS "+quote(s.table+"_history"), nil); err != nil {
			return err
		}
	}
	if _, err := c.Exec(text, nil); err != nil {
		return err
	}
	if s.verb != "create table" && s.verb != "alter table" {
		return nil
	}
	have, err := db.driver.Inspect(c)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(have, func(r Relation) bool { return r.Name == s.table })
	switch {
	case i < 0:
		return fmt.Errorf("there is no table %s after it", s.table)
	case len(have[i].Keys()) == 0:
		return fmt.Errorf("the table %s has no primary key", s.table)
	}
	return db.driver.Keep(c, have[i], s.appendOnly)
}

func firstWords(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
