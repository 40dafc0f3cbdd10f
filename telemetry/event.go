// Package telemetry owns what the computer says about itself. Its table
// events holds one line for each thing that happened to a thing.
package telemetry

import (
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

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

// Schema is the table events.
func Schema() store.Schema { panic("not built") }

// Record writes an event as part of tx; ID and At are filled in.
func Record(tx *store.Tx, e Event) error { panic("not built") }

// List returns the events of a thing (kind and name may be empty: any),
// oldest first, at most limit of the newest.
func List(tx *store.Tx, project, kind, name string, limit int) ([]Event, error) { panic("not built") }
