// Package instance owns instances: containers with a name, an address,
// volumes and limits, each on one machine. It keeps what is wished of them
// and what the machine's agent reports; it does nothing to them itself.
//
// It owns the tables instances, instance_specs, volumes, placements and
// actions.
package instance

import (
	"encoding/json"
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

// Spec is what an instance is made of, as the agent needs it. It holds names
// of secrets, never their values.
type Spec struct {
	Image   string            `json:"image"` // deb:… or file:…
	Command []string          `json:"command"`
	Env     map[string]string `json:"env,omitempty"`
	Files   []File            `json:"files,omitempty"`
	Secrets []string          `json:"secrets,omitempty"` // each becomes the file /secrets/NAME, on tmpfs, mode 0400; NAME is the last element
	Volumes []Mount           `json:"volumes,omitempty"`
	Ports   []Port            `json:"ports,omitempty"`
	Limits  Limits            `json:"limits"`
	Stop    Stop              `json:"stop"`
	Probe   *Probe            `json:"probe,omitempty"`
}

// File is a read-only file in the container, under /config or /scripts.
type File struct {
	Path    string `json:"path"`
	Mode    uint32 `json:"mode"` // 0444 or 0555
	Content string `json:"content"`
}

// Mount is a volume of its own for the instance.
type Mount struct {
	Name  string `json:"name"`
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// Port is a TCP port that the program listens on.
type Port struct {
	Name string `json:"name"`
	Port int    `json:"port"`
}

// Limits are enforced by the machine's kernel.
type Limits struct {
	CPUMillis   int64 `json:"cpu_millis"` // thousandths of a CPU
	MemoryBytes int64 `json:"memory_bytes"`
	Pids        int64 `json:"pids"`
}

// Stop is how the program is asked to end.
type Stop struct {
	Signal       string `json:"signal"` // "SIGINT"; empty is SIGTERM
	GraceSeconds int    `json:"grace_seconds"`
}

// Probe is a program run on in the instance; each line it prints is a
// [Health] as JSON.
type Probe struct {
	Command []string `json:"command"`
}

// Health is what a probe says.
type Health struct {
	Ready    bool    `json:"ready"`
	Role     string  `json:"role"`
	History  string  `json:"history,omitempty"`
	Position []int64 `json:"position,omitempty"`
	LagBytes *int64  `json:"lag_bytes,omitempty"`
	LagMS    *int64  `json:"lag_ms,omitempty"`
	Message  string  `json:"message,omitempty"`
}

// Action is a script to be run once in an instance; a row of the table
// actions. Its ID is its idempotency key.
type Action struct {
	ID        string            `json:"id"`
	Project   string            `json:"project"`
	Instance  string            `json:"instance"`
	Machine   string            `json:"machine"`
	Name      string            `json:"name"`  // "init", "seed", …
	Place     string            `json:"place"` // engine: in its running container; job: in a container of its own with the same image, volumes, files and secrets
	Command   []string          `json:"command"`
	Env       map[string]string `json:"env"`     // DB_*, small and not secret
	Context   json.RawMessage   `json:"context"` // what $DB_CTX names a file of
	TimeoutMS int64             `json:"timeout_ms"`
	Status    string            `json:"status"` // Pending, Done
	Exit      *int              `json:"exit"`   // 124 when it timed out; see the action contract
	Output    json.RawMessage   `json:"output"` // what it wrote to $DB_OUT, null if nothing
	Log       string            `json:"log"`    // the last 4 KiB of what it printed
	CreatedAt time.Time         `json:"created_at"`
	EndedAt   *time.Time        `json:"ended_at"`
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
