package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/scheduler"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/workflow"
)

// Target is the input of the workflows: one cluster, which a later one of the
// same name is not.
type Target struct {
	Project string    `json:"project"`
	Name    string    `json:"name"`
	ID      volvox.ID `json:"id"`
	// Making says that the cluster's creation may go on still; of a deletion.
	Making bool `json:"making,omitempty"`
}

type nothing = struct{}

// maker is one run of the workflow database.create.
type maker struct {
	*Service
	Target
	// until bounds every wait. It is counted from when this process began to
	// run the workflow, so that time in which nothing ran it does not count;
	// it is looked at in bodies of steps only.
	until time.Time
}

// runCreate makes a database, or removes all that it had made and returns why.
func (s *Service) runCreate(ctx workflow.Context, t Target) (Target, error) {
	m := maker{Service: s, Target: t, until: time.Now().Add(s.createLimit)}
	err := m.make(ctx)
	if err == nil {
		return t, nil
	}
	if undo := s.takeAway(ctx.WithoutCancel(), t, err); undo != nil {
		return t, errors.Join(err, undo)
	}
	return t, err
}

func (m maker) make(ctx workflow.Context) error {
	steps, err := workflow.Step(ctx, "plan", func(ctx context.Context) (steps []step, err error) {
		err = m.db.View(ctx, func(tx *store.Tx) error {
			_, b, err := m.wished(tx)
			steps = program(b)
			return err
		})
		return steps, err
	}, again())
	if err != nil {
		return err
	}
	for _, st := range steps {
		switch st.Do {
		case doPlace:
			err = transaction(ctx, st.Name, m.placeAll)
		case doPrepare:
			_, err = workflow.Step(ctx, st.Name, func(ctx context.Context) (nothing, error) { return nothing{}, m.prepare(ctx, st) }, again())
		case doAct:
			_, err = workflow.Step(ctx, st.Name, func(ctx context.Context) (outcome, error) { return m.act(ctx, st) }, again())
		case doStart:
			_, err = workflow.Step(ctx, st.Name, func(ctx context.Context) (nothing, error) { return nothing{}, m.start(ctx, st) }, again())
		case doOpen:
			err = transaction(ctx, st.Name, m.open)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wished returns the cluster and its blueprint. It is E_CANCELLED when the
// cluster is gone or being deleted: whoever writes for the cluster looks here
// first, in the same transaction.
func (m maker) wished(tx *store.Tx) (Cluster, blueprint, error) {
	c, there, err := findCluster(tx, m.Project, m.Name)
	if err != nil {
		return c, blueprint{}, err
	}
	if !there || c.ID != m.ID || c.Phase == volvox.Deleting {
		return c, blueprint{}, m.deleted()
	}
	parts, err := components(tx, m.Project, m.Name)
	if err != nil {
		return c, blueprint{}, err
	}
	b, err := m.blueprintOf(c, parts)
	return c, b, err
}

func (m maker) deleted() error {
	return volvox.Errorf(volvox.Cancelled, "the creation of database %s was given up", m.Name).
		Because("the database is being deleted").About(ref(m.Project, m.Name))
}

// placeAll chooses a machine for each member and wishes for it, stopped.
func (m maker) placeAll(tx *store.Tx) error {
	c, b, err := m.wished(tx)
	if err != nil {
		return err
	}
	var taken []scheduler.Placement
	placed, machines, err := m.place(tx, b, &taken)
	if err != nil {
		return err
	}
	for n, p := range b.parts {
		set, err := instance.CreateSet(tx, instance.Set{Project: c.Project, Name: setName(c.Name, p.name), Cluster: c.Name, Component: p.name, Replicas: len(placed[n])})
		if err != nil {
			return err
		}
		for i, d := range placed[n] {
			spec, err := b.spec(p, i)
			if err != nil {
				return err
			}
			in, err := instance.Create(tx, instance.Instance{Project: c.Project, Name: d.Member, Cluster: c.Name, Component: p.name, Set: set.Name, Ordinal: i, Desired: instance.Halt},
				spec, instance.Placement{Machine: d.Machine, Range: machines[d.Machine].Range, Reason: d.Reason})
			if err != nil {
				return err
			}
			if spec.Env == nil {
				spec.Env = map[string]string{}
			}
			spec.Env["DB_HOST"] = in.Address // only now it has one
			if err := instance.SetSpec(tx, c.Project, in.Name, spec); err != nil {
				return err
			}
		}
	}
	if _, err := tx.Exec(`UPDATE components SET phase = $1 WHERE project = $2 AND cluster = $3`, volvox.Creating, c.Project, c.Name); err != nil {
		return fmt.Errorf("write the phase of the components: %w", err)
	}
	return setPhase(tx, c, volvox.Creating, "", "")
}

// open says that the cluster does what was asked.
func (m maker) open(tx *store.Tx) error {
	c, _, err := m.wished(tx)
	if err != nil {
		return err
	}
	if err := setPhase(tx, c, volvox.Running, "", ""); err != nil {
		return err
	}
	parts, err := components(tx, c.Project, c.Name)
	if err != nil {
		return err
	}
	c.Phase, c.Code, c.Message = volvox.Running, "", ""
	if _, err := m.settle(tx, c, parts, false); err != nil {
		return err
	}
	return record(tx, c, "info", "", "is Running after %s", time.Since(c.CreatedAt).Round(time.Millisecond))
}

func setPhase(tx *store.Tx, c Cluster, p volvox.Phase, code volvox.Code, message string) error {
	if _, err := tx.Exec(`UPDATE clusters SET phase = $1, code = $2, message = $3 WHERE project = $4 AND name = $5 AND id = $6`,
		p, code, message, c.Project, c.Name, c.ID); err != nil {
		return fmt.Errorf("write the phase of %s: %w", c.Name, err)
	}
	return nil
}
