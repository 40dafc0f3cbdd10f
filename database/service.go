package database

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/telemetry"
	"github.com/volvox-os/volvox/workflow"
)

// Secrets keeps passwords.
type Secrets interface {
	Put(tx *store.Tx, project, name, value string) error
	Get(tx *store.Tx, project, name string) (string, error)
	Delete(tx *store.Tx, project, name string) error
}

// Options of the service.
type Options struct {
	DB        *store.DB
	Addons    []*addon.Addon
	Broken    map[string]error // why addons cannot be used, by name
	Instances *instance.Service
	Machines  func(tx *store.Tx) ([]machine.Machine, error)
	Secrets   Secrets
	Password  func() string // a new password
	Log       *slog.Logger
	// CreateLimit bounds the making of a database, counted from when the
	// process that does it began or took it over. 0: 10 minutes.
	CreateLimit time.Duration
	// StartLimit bounds the wait for a member that was started while it reports
	// nothing new. 0: 3 minutes.
	StartLimit time.Duration
	// Output returns the last lines that a member printed, for the errors of
	// those that are removed since they did not start; nil: nothing is known.
	Output func(ctx context.Context, id volvox.ID, lines int) (string, error)
	// RemoveLimit bounds the wait for agents to remove members; after it the
	// rows go anyway, and an agent that comes back finds orphans. 0: 2 minutes.
	RemoveLimit time.Duration
}

// Service makes, describes and removes databases.
//
// It needs a workflow engine, and the engine needs its workflows: make the
// service, make an engine with [Service.Workflows], hand it over with
// [Service.Use], then start the engine.
type Service struct {
	db          *store.DB
	addons      []*addon.Addon
	broken      map[string]error
	instances   *instance.Service
	machines    func(tx *store.Tx) ([]machine.Machine, error)
	secrets     Secrets
	password    func() string
	log         *slog.Logger
	output      func(ctx context.Context, id volvox.ID, lines int) (string, error)
	createLimit time.Duration
	startLimit  time.Duration
	removeLimit time.Duration

	engine atomic.Pointer[workflow.Engine]
	create *workflow.Workflow[Target, Target]
	remove *workflow.Workflow[Target, Target]
}

// New makes the service; the kernel must have been migrated to Schema() and to
// the schemas of workflow, instance, secret, machine and telemetry.
func New(o Options) *Service {
	s := &Service{
		db: o.DB, addons: o.Addons, broken: o.Broken, instances: o.Instances, machines: o.Machines,
		secrets: o.Secrets, password: o.Password, log: o.Log, output: o.Output,
		createLimit: cmp.Or(o.CreateLimit, 10*time.Minute),
		startLimit:  cmp.Or(o.StartLimit, 3*time.Minute),
		removeLimit: cmp.Or(o.RemoveLimit, 2*time.Minute),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.create = workflow.Define("database.create", s.runCreate)
	s.remove = workflow.Define("database.delete", s.runDelete)
	return s
}

// Workflows are what the engine must know to make and remove databases.
func (s *Service) Workflows() []workflow.Definition {
	return []workflow.Definition{s.create, s.remove}
}

// Use says which engine runs the workflows. Before it, Create, Apply and
// Delete fail with E_NOT_READY.
func (s *Service) Use(e *workflow.Engine) { s.engine.Store(e) }

func (s *Service) running() (*workflow.Engine, error) {
	if e := s.engine.Load(); e != nil {
		return e, nil
	}
	return nil, volvox.Errorf(volvox.NotReady, "the computer is not ready to change databases").WithTry("volvox status")
}

// Engines returns what databases there can be, by name.
func (s *Service) Engines(context.Context) ([]Engine, error) {
	all := make([]Engine, len(s.addons))
	for i, a := range s.addons {
		all[i] = a.Summary()
	}
	slices.SortFunc(all, func(a, b Engine) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// List returns the clusters of a project by name; an empty project is all.
func (s *Service) List(ctx context.Context, project string) (found []Cluster, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		found, err = listClusters(tx, project)
		return err
	})
	return found, err
}

// Get returns a cluster; E_NOT_FOUND if there is none of the name.
func (s *Service) Get(ctx context.Context, project, name string) (c Cluster, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		c, err = getCluster(tx, project, name)
		return err
	})
	return c, err
}

// Components returns the components of a cluster in the order in which they
// are made.
func (s *Service) Components(ctx context.Context, project, name string) (found []Component, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if _, err := getCluster(tx, project, name); err != nil {
			return err
		}
		found, err = components(tx, project, name)
		return err
	})
	return found, err
}

// Accounts returns the accounts of a cluster by name, without passwords.
func (s *Service) Accounts(ctx context.Context, project, name string) (found []Account, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if _, err := getCluster(tx, project, name); err != nil {
			return err
		}
		found, err = accounts(tx, project, name)
		return err
	})
	return found, err
}

// Events returns what happened to a cluster and its members since it was
// created, oldest first, at most limit of the newest (0: 200). With all, what
// happened to earlier ones of the name is there too, as it is while there is
// none: the events of a cluster that is gone stay. Only a name that none ever
// had is E_NOT_FOUND.
func (s *Service) Events(ctx context.Context, project, name string, limit int, all bool) (found []telemetry.Event, err error) {
	if limit <= 0 {
		limit = 200
	}
	var since time.Time
	err = s.db.View(ctx, func(tx *store.Tx) error {
		found, err = telemetry.List(tx, project, "cluster", name, limit)
		if err != nil {
			return fmt.Errorf("list the events of %s: %w", name, err)
		}
		c, missing := getCluster(tx, project, name)
		if missing != nil && len(found) == 0 {
			return missing
		}
		since = c.CreatedAt
		parts, err := components(tx, project, name)
		if err != nil {
			return err
		}
		for _, c := range parts {
			for _, member := range c.Members() {
				events, err := telemetry.List(tx, project, "instance", member, limit)
				if err != nil {
					return fmt.Errorf("list the events of %s: %w", member, err)
				}
				found = append(found, events...)
			}
		}
		return nil
	})
	found = slices.DeleteFunc(found, func(e telemetry.Event) bool { return !all && e.CreatedAt.Before(since) })
	slices.SortFunc(found, func(a, b telemetry.Event) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return found[max(0, len(found)-limit):], err
}

func listClusters(tx *store.Tx, project string) ([]Cluster, error) {
	if project == "" {
		return store.All[Cluster](tx, `SELECT `+clusterColumns+` FROM clusters ORDER BY project, name`)
	}
	return store.All[Cluster](tx, `SELECT `+clusterColumns+` FROM clusters WHERE project = $1 ORDER BY name`, project)
}

// findCluster returns the cluster, and whether there is one.
func findCluster(tx *store.Tx, project, name string) (Cluster, bool, error) {
	found, err := store.All[Cluster](tx, `SELECT `+clusterColumns+` FROM clusters WHERE project = $1 AND name = $2`, project, name)
	if err != nil || len(found) == 0 {
		return Cluster{}, false, err
	}
	return found[0], true, nil
}

func getCluster(tx *store.Tx, project, name string) (Cluster, error) {
	c, ok, err := findCluster(tx, project, name)
	if err != nil || ok {
		return c, err
	}
	names, err := store.All[string](tx, `SELECT name FROM clusters WHERE project = $1 ORDER BY name`, project)
	if err != nil {
		return c, err
	}
	missing := volvox.Errorf(volvox.NotFound, "there is no database %q", name).About(ref(project, name))
	if near := volvox.Closest(name, names); near != "" {
		missing = missing.Because("did you mean %q?", near).WithTry("volvox db show %s", near)
	}
	return c, missing.WithTry("volvox db list")
}

func components(tx *store.Tx, project, cluster string) ([]Component, error) {
	return store.All[Component](tx, `SELECT `+componentColumns+` FROM components WHERE project = $1 AND cluster = $2 ORDER BY place`, project, cluster)
}

func accounts(tx *store.Tx, project, cluster string) ([]Account, error) {
	return store.All[Account](tx, `SELECT `+accountColumns+` FROM accounts WHERE project = $1 AND cluster = $2 ORDER BY name`, project, cluster)
}

// record writes an event about a cluster.
func record(tx *store.Tx, c Cluster, level string, code volvox.Code, format string, args ...any) error {
	return telemetry.Record(tx, telemetry.Event{Project: c.Project, Kind: "cluster", Name: c.Name,
		Level: level, Code: code, Message: fmt.Sprintf(format, args...)})
}
