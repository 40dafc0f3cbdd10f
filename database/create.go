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

// Create wishes for a database and returns it with the workflow that makes
// it. Everything that can be known now is checked first, and refused with one
// clear error: then nothing was changed. A name that is taken is E_EXISTS, or
// E_BUSY while the one that has it is being deleted.
func (s *Service) Create(ctx context.Context, w Wish) (Cluster, string, error) {
	made, err := s.createAll(ctx, []Wish{w})
	if err != nil {
		return Cluster{}, "", err
	}
	return made[0], made[0].Workflow, nil
}

// createAll makes all of the databases in one transaction, or none.
func (s *Service) createAll(ctx context.Context, wishes []Wish) ([]Cluster, error) {
	engine, err := s.running()
	if err != nil {
		return nil, err
	}
	blueprints := make([]blueprint, len(wishes))
	for i, w := range wishes {
		if blueprints[i], err = s.resolve(w); err != nil {
			return nil, about(err, w)
		}
	}
	var made []Cluster
	err = s.update(ctx, "database.create", func(tx *store.Tx) error {
		made = nil
		var taken []scheduler.Placement
		for _, b := range blueprints {
			if err := s.vacant(tx, b); err != nil {
				return err
			}
			if _, _, err := s.place(tx, b, &taken); err != nil {
				return err
			}
			c, err := s.insert(tx, engine, b)
			if err != nil {
				return err
			}
			made = append(made, c)
		}
		return nil
	})
	return made, err
}

// about says which database an error is about, if it does not say so itself.
func about(err error, w Wish) error {
	var e *volvox.Error
	if errors.As(err, &e) && e.Ref == (volvox.Ref{}) {
		e.Ref = ref(w.Project, w.Name)
	}
	return err
}

// vacant says whether the name, and those of the members, are free.
func (s *Service) vacant(tx *store.Tx, b blueprint) error {
	c, there, err := findCluster(tx, b.wish.Project, b.wish.Name)
	switch {
	case err != nil:
		return err
	case there && c.Phase == volvox.Deleting:
		return deleting(c)
	case there:
		return volvox.Errorf(volvox.Exists, "there is a database %s already", c.Name).About(c.Ref()).
			Because("it is %s, of engine %s %s, made at %s", c.Phase, c.Engine, c.Version, c.CreatedAt.Format(time.RFC3339)).
			WithTry("choose another name").WithTry("volvox db show %s", c.Name).WithTry("volvox db delete %s", c.Name)
	}
	var names []string
	for _, p := range b.parts {
		names = append(names, b.members(p)...)
	}
	taken, err := instance.List(tx, instance.Filter{Project: b.wish.Project, Names: names})
	if err != nil || len(taken) == 0 {
		return err
	}
	return volvox.Errorf(volvox.Exists, "database %s cannot have a member %s", b.wish.Name, taken[0].Name).
		About(ref(b.wish.Project, b.wish.Name)).
		Because("a member of database %s has this name", taken[0].Cluster).WithTry("choose another name")
}

func deleting(c Cluster) error {
	return volvox.Errorf(volvox.Busy, "database %s is being deleted", c.Name).About(c.Ref()).
		Because("its name is free when that has ended").
		WithTry("wait a moment and try again; volvox db show %s says how far it is", c.Name)
}

// insert writes the rows of a wish and starts the workflow that fulfils it.
func (s *Service) insert(tx *store.Tx, engine *workflow.Engine, b blueprint) (Cluster, error) {
	w := b.wish
	if w.Params == nil {
		w.Params = map[string]string{}
	}
	c := Cluster{Project: w.Project, Name: w.Name, ID: volvox.NewID(), Engine: b.addon.Name, Version: w.Version, Topology: w.Topology,
		Replicas: w.Replicas, CPUMillis: w.CPUMillis, MemoryBytes: w.MemoryBytes, StorageBytes: w.StorageBytes, Params: w.Params,
		Phase: volvox.Pending, CreatedAt: time.Now().UTC().Truncate(time.Microsecond)}
	c.Workflow = "create-" + string(c.ID)
	if _, err := tx.Exec(`INSERT INTO clusters (`+clusterColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		c.Project, c.Name, c.ID, c.Engine, c.Version, c.Topology, c.Replicas, c.CPUMillis, c.MemoryBytes, c.StorageBytes,
		c.Params, c.Phase, c.Code, c.Message, c.Workflow, c.CreatedAt); err != nil {
		return c, fmt.Errorf("write cluster %s: %w", c.Name, err)
	}
	for i, p := range b.parts {
		if _, err := tx.Exec(`INSERT INTO components (`+componentColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '', '', '')`,
			c.Project, c.Name, p.name, p.kind.Name, i, p.replicas, p.needs.CPUMillis, p.needs.MemoryBytes, p.needs.StorageBytes, volvox.Pending); err != nil {
			return c, fmt.Errorf("write component %s of %s: %w", p.name, c.Name, err)
		}
	}
	if err := s.insertAccounts(tx, b); err != nil {
		return c, err
	}
	if err := record(tx, c, "info", "", "creation was asked for: %s", describe(b)); err != nil {
		return c, err
	}
	_, err := s.create.StartIn(tx, engine, Target{Project: c.Project, Name: c.Name, ID: c.ID}, workflow.ID(c.Workflow), workflow.About("cluster", c.Project, c.Name))
	return c, err
}

// insertAccounts makes the accounts of the parts, each with a new password.
func (s *Service) insertAccounts(tx *store.Tx, b blueprint) error {
	done := map[string]bool{}
	for _, p := range b.parts {
		for _, a := range p.kind.Accounts {
			if done[a.Name] {
				continue
			}
			done[a.Name] = true
			secret := b.wish.Name + "/" + a.Name
			if err := s.secrets.Put(tx, b.wish.Project, secret, s.password()); err != nil {
				return fmt.Errorf("keep the password of account %s: %w", a.Name, err)
			}
			if _, err := tx.Exec(`INSERT INTO accounts (`+accountColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
				b.wish.Project, b.wish.Name, a.Name, p.name, a.User, a.Admin, secret); err != nil {
				return fmt.Errorf("write account %s: %w", a.Name, err)
			}
		}
	}
	return nil
}

// describe is a wish in one line.
func describe(b blueprint) string {
	members := "1 member"
	if b.wish.Replicas > 1 {
		members = fmt.Sprintf("%d members", b.wish.Replicas)
	}
	return fmt.Sprintf("%s %s, %s, %s; each %s CPU, %s memory, %s storage", b.addon.Name, b.version.Name, b.wish.Topology, members,
		volvox.FormatCPU(b.wish.CPUMillis), volvox.FormatBytes(b.wish.MemoryBytes), volvox.FormatBytes(b.wish.StorageBytes))
}
