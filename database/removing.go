package database

import (
	"context"
	"fmt"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/workflow"
)

// Delete wishes that nothing stays of a database, its data included, and
// returns the workflow that sees to it. One that is still being made is given
// up. Called again it returns the same workflow; when the database is gone it
// is E_NOT_FOUND.
func (s *Service) Delete(ctx context.Context, project, name string) (string, error) {
	engine, err := s.running()
	if err != nil {
		return "", err
	}
	var id string
	err = s.update(ctx, "database.delete", func(tx *store.Tx) error {
		c, err := getCluster(tx, project, name)
		if err != nil {
			return err
		}
		if id = "delete-" + string(c.ID); id == c.Workflow {
			return nil
		}
		if err := record(tx, c, "info", "", "deletion was asked for"); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE clusters SET workflow = $1, phase = $2, code = '', message = '' WHERE project = $3 AND name = $4`,
			id, volvox.Deleting, c.Project, c.Name); err != nil {
			return fmt.Errorf("write the phase of %s: %w", c.Name, err)
		}
		making := c.Phase == volvox.Pending || c.Phase == volvox.Creating || c.Phase == volvox.Deleting // after a creation that failed
		_, err = s.remove.StartIn(tx, engine, Target{c.Project, c.Name, c.ID, making}, workflow.ID(id), workflow.About("cluster", c.Project, c.Name))
		return err
	})
	return id, err
}

// runDelete removes a database. It succeeds whatever it finds.
func (s *Service) runDelete(ctx workflow.Context, t Target) (Target, error) {
	if !t.Making {
		return t, s.takeAway(ctx, t, nil)
	}
	_, err := workflow.Step(ctx, "give up its creation", func(ctx context.Context) (nothing, error) {
		engine, err := s.running()
		if err == nil {
			err = engine.Cancel(ctx, "create-"+string(t.ID))
		}
		if volvox.IsKind(err, volvox.KindNotFound) || volvox.IsKind(err, volvox.KindConflict) {
			err = nil // it has ended
		}
		return nothing{}, err
	}, again())
	if err != nil {
		return t, err
	}
	return t, s.takeAway(ctx, t, nil)
}

// takeAway removes everything that is there of a cluster. The reason is why,
// when the cluster is not removed because somebody wished it. Two workflows
// may do it at once.
func (s *Service) takeAway(ctx workflow.Context, t Target, reason error) error {
	err := transaction(ctx, "remove members", func(tx *store.Tx) error { return s.removeMembers(tx, t, reason) })
	if err != nil {
		return err
	}
	_, err = workflow.Step(ctx, "wait until members are gone", func(ctx context.Context) (nothing, error) { return nothing{}, s.awaitGone(ctx, t) }, again())
	if err != nil {
		return err
	}
	return transaction(ctx, "forget "+t.Name, func(tx *store.Tx) error { return s.forget(tx, t, reason) })
}

// removeMembers wishes for the removal of all members.
func (s *Service) removeMembers(tx *store.Tx, t Target, reason error) error {
	c, there, err := findCluster(tx, t.Project, t.Name)
	if err != nil || !there || c.ID != t.ID {
		return err
	}
	if why := volvox.AsError(reason); why != nil && c.Phase != volvox.Deleting {
		if err := record(tx, c, "error", why.Code, "could not be made and is removed: %s", why); err != nil {
			return err
		}
		if err := setPhase(tx, c, volvox.Deleting, why.Code, why.Error()); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`UPDATE components SET phase = $1 WHERE project = $2 AND cluster = $3`, volvox.Deleting, t.Project, t.Name); err != nil {
		return fmt.Errorf("write the phase of the components: %w", err)
	}
	members, err := instance.List(tx, instance.Filter{Project: t.Project, Cluster: t.Name})
	if err != nil {
		return fmt.Errorf("list the members of %s: %w", t.Name, err)
	}
	for _, i := range members {
		if err := instance.Delete(tx, i.Project, i.Name); err != nil {
			return err
		}
	}
	return nil
}

// awaitGone waits until agents have removed all members. When they do not in
// time, the rows of the members go anyway: an agent that comes back finds
// what it has without a row, and removes it.
func (s *Service) awaitGone(ctx context.Context, t Target) error {
	limited, cancel := context.WithTimeout(ctx, s.removeLimit)
	defer cancel()
	members := instance.Filter{Project: t.Project, Cluster: t.Name}
	_, err := s.instances.WaitInstances(limited, members, func(found []instance.Instance) (bool, error) {
		for _, i := range found {
			if i.Desired == instance.Remove {
				return false, nil
			}
		}
		return true, nil // none left, or those of a later cluster of the same name
	})
	if err == nil || limited.Err() == nil || ctx.Err() != nil {
		return err
	}
	left, err := s.instances.List(ctx, members)
	if err != nil {
		return fmt.Errorf("list the members of %s: %w", t.Name, err)
	}
	for _, i := range left {
		if i.Desired != instance.Remove {
			continue
		}
		if err := s.instances.Report(ctx, i.Machine, instance.Report{ID: i.ID, Gone: true}); err != nil {
			return fmt.Errorf("forget %s: %w", i.Name, err)
		}
		s.log.Warn("a member was forgotten before its machine had removed it", "instance", i.Name, "machine", i.Machine)
	}
	return nil
}

// forget deletes the rows and secrets of a cluster.
func (s *Service) forget(tx *store.Tx, t Target, reason error) error {
	c, there, err := findCluster(tx, t.Project, t.Name)
	if err != nil || !there || c.ID != t.ID {
		return err
	}
	logins, err := accounts(tx, t.Project, t.Name)
	if err != nil {
		return err
	}
	for _, a := range logins {
		if err := s.secrets.Delete(tx, t.Project, a.Secret); err != nil {
			return fmt.Errorf("forget the password of account %s: %w", a.Name, err)
		}
	}
	for _, stmt := range []string{
		`DELETE FROM accounts WHERE project = $1 AND cluster = $2`,
		`DELETE FROM components WHERE project = $1 AND cluster = $2`,
		`DELETE FROM clusters WHERE project = $1 AND name = $2`,
	} {
		if _, err := tx.Exec(stmt, t.Project, t.Name); err != nil {
			return fmt.Errorf("forget %s: %w", t.Name, err)
		}
	}
	if reason != nil {
		return record(tx, c, "info", "", "nothing is left of it")
	}
	return record(tx, c, "info", "", "is Deleted")
}
