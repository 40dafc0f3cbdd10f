// Package telemetry owns what the computer says about itself. Its table
// events holds one line for each thing that happened to a thing.
package telemetry

import (
	"embed"
	"fmt"
	"slices"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the table events.
func Schema() store.Schema {
	return store.Schema{Owner: "telemetry", Migrations: migrations}
}

// Event is one row of the append-only table events.
type Event struct {
	ID        volvox.ID   `json:"id"`
	CreatedAt time.Time   `json:"created_at"`
	Project   string      `json:"project"`
	Kind      string      `json:"kind"` // of the thing: cluster, instance, machine
	Name      string      `json:"name"`
	Level     string      `json:"level"` // info, warning or error
	Code      volvox.Code `json:"code"`
	Message   string      `json:"message"`
}

// The levels.
const (
	Info    = "info"    // it is as it should be
	Warning = "warning" // somebody may want to look
	Problem = "error"   // something does not do what was asked
)

// Record writes an event as part of tx: it is there if what it tells of is.
// ID and CreatedAt are filled in; an empty project is the default one, an
// empty level is info.
func Record(tx *store.Tx, e Event) error {
	if e.Project == "" {
		e.Project = volvox.DefaultProject
	}
	if e.Level == "" {
		e.Level = Info
	}
	_, err := tx.Exec(`INSERT INTO events (id, created_at, project, kind, name, level, code, message) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		volvox.NewID(), time.Now(), e.Project, e.Kind, e.Name, e.Level, e.Code, e.Message)
	if err != nil {
		return fmt.Errorf("record an event of %s %s: %w", e.Kind, e.Name, err)
	}
	return nil
}

// List returns the events of a thing (project, kind and name may be empty:
// any), oldest first, at most limit of the newest; limit 0 is 1,000.
func List(tx *store.Tx, project, kind, name string, limit int) ([]Event, error) {
	if limit <= 0 {
		limit = 1000
	}
	events, err := store.All[Event](tx, `SELECT id, created_at, project, kind, name, level, code, message FROM events
		WHERE ($1 = '' OR project = $1) AND ($2 = '' OR kind = $2) AND ($3 = '' OR name = $3)
		ORDER BY created_at DESC, id DESC LIMIT $4`, project, kind, name, limit)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	slices.Reverse(events)
	return events, nil
}
