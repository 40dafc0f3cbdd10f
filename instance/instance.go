// Package instance owns instances: containers with a name, an address,
// volumes and limits, each on one machine. It keeps what is wished of them
// and what the machine's agent reports; it does nothing to them itself.
//
// It owns the tables instance_sets, instances, instance_specs, volumes, placements and
// actions.
package instance

import (
	"time"

	"github.com/volvox-os/volvox"
)

// Desired is what is wished of an instance.
type Desired string

// The wishes. An instance is made Stopped, so that jobs can fill its volumes
// before its program first runs.
const (
	Run    Desired = "Running"
	Halt   Desired = "Stopped"
	Remove Desired = "Deleted"
)

// Instance is one row of the table instances. Columns down to Generation are
// wishes, the others facts.
type Instance struct {
	Project    string    `json:"project"`
	Name       string    `json:"name"` // "shop-pg-0", unique in its project
	ID         volvox.ID `json:"id"`   // never reused; the runtime knows it by this
	Cluster    string    `json:"cluster"`
	Component  string    `json:"component"`
	Set        string    `json:"instance_set"` // the set it is one of; empty for one by itself
	Ordinal    int       `json:"ordinal"`
	Machine    string    `json:"machine"`
	Address    string    `json:"address"` // IPv4, of this instance alone
	Desired    Desired   `json:"desired"`
	Generation int64     `json:"generation"` // grows with every change of wish or spec

	Phase     volvox.Phase `json:"phase"`
	Observed  int64        `json:"observed"` // the generation that the facts are of
	Role      string       `json:"role"`     // what the engine says it is; empty when unknown
	Ready     bool         `json:"ready"`    // does its work; for a replica: follows its primary
	Restarts  int          `json:"restarts"`
	ExitCode  *int         `json:"exit_code"` // of the last end of its program
	Code      volvox.Code  `json:"code"`      // why it is Failed or not ready; empty otherwise
	Message   string       `json:"message"`
	CreatedAt time.Time    `json:"created_at"`
	StartedAt *time.Time   `json:"started_at"` // of the program that runs
}

// Wish is all that an agent needs to know about one instance.
type Wish struct {
	Instance Instance `json:"instance"`
	Spec     Spec     `json:"spec"`
	Actions  []Action `json:"actions"` // those not yet done, oldest first
}

// Report is what an agent says about one instance: the facts it found for a
// generation. Gone means that nothing of the instance is left.
type Report struct {
	ID        volvox.ID    `json:"id"`
	Observed  int64        `json:"observed"`
	Phase     volvox.Phase `json:"phase"`
	Role      string       `json:"role"`
	Ready     bool         `json:"ready"`
	Restarts  int          `json:"restarts"`
	ExitCode  *int         `json:"exit_code"`
	Code      volvox.Code  `json:"code"`
	Message   string       `json:"message"`
	StartedAt *time.Time   `json:"started_at"`
	Gone      bool         `json:"gone"`
	Event     string       `json:"event,omitempty"` // a line for the table events, when something happened
}
