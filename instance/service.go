package instance

import (
	"context"
	"strconv"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/store"
)

// Machines is what the service passes on about machines.
type Machines interface {
	Register(ctx context.Context, m machine.Machine) error
	ReportImage(ctx context.Context, i machine.Image) error
}

// Secrets opens secrets.
type Secrets interface {
	Get(tx *store.Tx, project, name string) (string, error)
}

// Service keeps instances in the kernel. It is the control that agents talk
// to: it satisfies agent.Control.
//
// The functions of this package that take a *store.Tx are part of the
// caller's transaction; the methods are transactions of their own.
type Service struct {
	db       *store.DB
	machines Machines
	secrets  Secrets
}

// New makes the service; db must have been migrated to Schema(), and to the
// schemas of packages machine and telemetry.
func New(db *store.DB, m Machines, s Secrets) *Service {
	return &Service{db: db, machines: m, secrets: s}
}

// Get returns an instance; E_NOT_FOUND if there is none of the name.
func (s *Service) Get(ctx context.Context, project, name string) (i Instance, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		i, err = Get(tx, project, name)
		return err
	})
	return i, err
}

// List returns the instances that the filter chooses.
func (s *Service) List(ctx context.Context, f Filter) (is []Instance, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		is, err = List(tx, f)
		return err
	})
	return is, err
}

// StartAction asks for an action; see the function StartAction.
func (s *Service) StartAction(ctx context.Context, a Action) (out Action, err error) {
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		out, err = StartAction(tx, a)
		return err
	})
	return out, err
}

// WaitInstances waits until done says so of the instances that the filter
// chooses, and returns them. It wakes up when one of them changes. An error of
// done ends the waiting and is returned.
func (s *Service) WaitInstances(ctx context.Context, f Filter, done func([]Instance) (bool, error)) (is []Instance, err error) {
	err = s.wait(ctx, "instances", func(row map[string]any) bool {
		return (f.Project == "" || row["project"] == f.Project) && (f.Cluster == "" || row["cluster"] == f.Cluster)
	}, func(tx *store.Tx) (bool, error) {
		if is, err = List(tx, f); err != nil {
			return false, err
		}
		return done(is)
	})
	return is, err
}

// WaitAction waits until the action has a result and returns it, whatever its
// exit code is. An action that goes away with its instance is E_NOT_FOUND.
func (s *Service) WaitAction(ctx context.Context, id string) (a Action, err error) {
	err = s.wait(ctx, "actions", func(row map[string]any) bool { return row["id"] == id }, func(tx *store.Tx) (bool, error) {
		a, err = GetAction(tx, id)
		return a.Status == Done, err
	})
	return a, err
}

// wait calls done now and after every transaction with a change that concerns
// it, until it says true.
func (s *Service) wait(ctx context.Context, table string, concerns func(row map[string]any) bool, done func(tx *store.Tx) (bool, error)) error {
	changes := s.db.Watch(ctx, store.Now(), table) // before the first look, so that nothing is missed
	ok := false
	look := func() error {
		return s.db.View(ctx, func(tx *store.Tx) (err error) {
			ok, err = done(tx)
			return err
		})
	}
	if err := look(); err != nil || ok {
		return err
	}
	hit := false
	for c, err := range changes {
		if err != nil {
			return err
		}
		if hit = hit || concerns(c.Row); !hit || !c.Last {
			continue
		}
		hit = false
		if err := look(); err != nil || ok {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return volvox.Errorf(volvox.Unavailable, "the kernel's feed of changes ended")
}

func itoa(n int) string { return strconv.Itoa(n) }
