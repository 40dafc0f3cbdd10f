package api

import (
	"context"
	"io"
	"iter"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/database"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/telemetry"
)

// Kernel is what the API needs of the kernel; a *store.DB is one.
type Kernel interface {
	View(ctx context.Context, f func(tx *store.Tx) error) error
	Ask(ctx context.Context, q store.Question, each func(columns []string, row []any) error) ([]string, error)
	Tables(ctx context.Context) ([]store.Table, error)
	Watch(ctx context.Context, from store.Start, tables ...string) iter.Seq2[store.Change, error]
}

// Databases is what the API needs of the databases; a *database.Service is one.
type Databases interface {
	Create(ctx context.Context, w database.Wish) (database.Cluster, string, error)
	Plan(ctx context.Context, w database.Wish) (database.Plan, error)
	Delete(ctx context.Context, project, name string) (string, error)
	Get(ctx context.Context, project, name string) (database.Cluster, error)
	List(ctx context.Context, project string) ([]database.Cluster, error)
	Events(ctx context.Context, project, name string, limit int, all bool) ([]telemetry.Event, error)
	Connection(ctx context.Context, project, name string, reveal bool) (database.Connection, error)
	Session(ctx context.Context, project, name string) (database.Connection, error)
}

// Engines is what the API needs of the addons; a *database.Service is one.
type Engines interface {
	Engines(ctx context.Context) ([]addon.Summary, error)
}

// Applier is what the API needs to apply files; a *database.Service is one.
type Applier interface {
	PlanAll(ctx context.Context, wishes []database.Wish) ([]database.Plan, error)
	Apply(ctx context.Context, wishes []database.Wish) ([]database.Applied, error)
}

// Machines is what the API needs of the machines.
type Machines interface {
	List(ctx context.Context) ([]machine.Machine, error)
}

// Agent is what the API needs of the agents; an *agent.Agent is one.
type Agent interface {
	// Logs writes what an instance printed: the last lines and, with follow,
	// what it prints until ctx ends or the instance is gone.
	Logs(ctx context.Context, id volvox.ID, follow bool, lines int, w io.Writer) error
	// Metrics returns what a running instance uses; E_NOT_READY if it does
	// not run.
	Metrics(ctx context.Context, id volvox.ID) (agent.Metrics, error)
}

// Computer is what the API needs of the computer as a whole.
type Computer interface {
	Status(ctx context.Context) Status
	// Shutdown begins to stop the computer and returns.
	Shutdown(ctx context.Context, s Shutdown) error
	// Doctor looks at the machine for what could be in the way.
	Doctor(ctx context.Context) ([]Check, error)
}

// view reads the kernel.
func (s *server) view(ctx context.Context, f func(tx *store.Tx) error) error {
	if s.Kernel == nil {
		return notReady("kernel")
	}
	return s.Kernel.View(ctx, f)
}
