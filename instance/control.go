package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/telemetry"
)

// Register says that a machine is there, with what it has.
func (s *Service) Register(ctx context.Context, m machine.Machine) error {
	return s.machines.Register(ctx, m)
}

// ReportImage records an image that is on the machine, or that it is gone.
func (s *Service) ReportImage(ctx context.Context, machine string, i machine.Image) error {
	i.Machine = machine
	return s.machines.ReportImage(ctx, i)
}

// Wishes returns everything wished of the machine.
func (s *Service) Wishes(ctx context.Context, machine string) (wishes []Wish, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		wishes = nil
		is, err := List(tx, Filter{Machine: machine})
		if err != nil {
			return err
		}
		at := make(map[volvox.ID]int, len(is))
		for n, i := range is {
			at[i.ID] = n
			wishes = append(wishes, Wish{Instance: i})
		}
		for row, err := range tx.Query(`SELECT id, spec FROM instance_specs WHERE machine = $1`, machine) {
			var id volvox.ID
			var text string
			if err == nil {
				err = row.Scan(&id, &text)
			}
			if n, ok := at[id]; ok && err == nil {
				err = json.Unmarshal([]byte(text), &wishes[n].Spec)
			}
			if err != nil {
				return fmt.Errorf("read the specs: %w", err)
			}
		}
		actions, err := store.All[Action](tx, `SELECT `+actionColumns+` FROM actions
			WHERE machine = $1 AND status = $2 ORDER BY created_at, id`, machine, Waiting)
		for _, a := range actions {
			if n, ok := at[a.InstanceID]; ok {
				wishes[n].Actions = append(wishes[n].Actions, a)
			}
		}
		return err
	})
	return wishes, err
}

// Changed returns a channel that gets a value, coalesced, whenever the wishes
// of the machine may have changed; it is closed when ctx ends. The facts that
// the machine's agent reports do not wake it.
func (s *Service) Changed(ctx context.Context, machine string) <-chan struct{} {
	wake := make(chan struct{}, 1)
	signal := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	go func() {
		defer close(wake)
		for ctx.Err() == nil {
			s.watchWishes(ctx, machine, signal)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second): // the feed broke; nothing is known until it is back
				signal()
			}
		}
	}()
	return wake
}

func (s *Service) watchWishes(ctx context.Context, machine string, signal func()) {
	changes := s.db.Watch(ctx, store.Now(), "instances", "actions")
	signal() // what changed before
	generations := map[any]any{}
	for c, err := range changes {
		switch {
		case err != nil:
			return
		case c.Row["machine"] != machine:
		case c.Table == "actions":
			if c.Op == "insert" {
				signal()
			}
		case c.Op == "delete":
			delete(generations, c.Row["id"])
			signal()
		case generations[c.Row["id"]] != c.Row["generation"]:
			generations[c.Row["id"]] = c.Row["generation"]
			signal()
		}
	}
}

// Report records facts. It is ignored for an instance that is not there, or
// not on the machine, and when it says nothing new. A change of phase, and an
// Event, become a line of the table events. Gone deletes the instance's rows
// if its removal is wished.
func (s *Service) Report(ctx context.Context, machine string, r Report) error {
	return s.db.Update(store.WithName(ctx, "report instance"), func(tx *store.Tx) error {
		rows, err := store.All[Instance](tx, `SELECT `+columns+` FROM instances WHERE id = $1 AND machine = $2`, r.ID, machine)
		if err != nil || len(rows) == 0 {
			return err
		}
		i := rows[0]
		if r.Gone {
			return forget(tx, i)
		}
		if r.Phase != i.Phase || r.Event != "" {
			if err := telemetry.Record(tx, event(i, r)); err != nil {
				return err
			}
		}
		if unchanged(i, r) {
			return nil
		}
		_, err = tx.Exec(`UPDATE instances SET phase = $1, observed = $2, role = $3, ready = $4, restarts = $5, exit_code = $6,
			code = $7, message = $8, started_at = $9 WHERE id = $10`,
			r.Phase, r.Observed, r.Role, r.Ready, r.Restarts, r.ExitCode, r.Code, r.Message, r.StartedAt, i.ID)
		if err != nil {
			return err
		}
		return settleSet(tx, i.Project, i.Set)
	})
}

// forget deletes the rows of an instance of which nothing is left.
func forget(tx *store.Tx, i Instance) error {
	if i.Desired != Remove {
		return nil
	}
	for _, stmt := range []string{
		`DELETE FROM actions WHERE instance_id = $1`,
		`DELETE FROM placements WHERE instance_id = $1`,
		`DELETE FROM volumes WHERE instance_id = $1`,
		`DELETE FROM instance_specs WHERE id = $1`,
		`DELETE FROM instances WHERE id = $1`,
	} {
		if _, err := tx.Exec(stmt, i.ID); err != nil {
			return err
		}
	}
	if err := settleSet(tx, i.Project, i.Set); err != nil {
		return err
	}
	return telemetry.Record(tx, telemetry.Event{Project: i.Project, Kind: "instance", Name: i.Name, Level: "info", Message: "gone"})
}

func event(i Instance, r Report) telemetry.Event {
	e := telemetry.Event{Project: i.Project, Kind: "instance", Name: i.Name, Level: "info", Code: r.Code, Message: r.Event}
	if e.Message == "" {
		e.Message = "is " + string(r.Phase)
		if r.Message != "" {
			e.Message += ": " + r.Message
		}
	}
	switch {
	case r.Phase == volvox.Failed:
		e.Level = "error"
	case r.Code != "":
		e.Level = "warning"
	}
	return e
}

func unchanged(i Instance, r Report) bool {
	return i.Phase == r.Phase && i.Observed == r.Observed && i.Role == r.Role && i.Ready == r.Ready &&
		i.Restarts == r.Restarts && equal(i.ExitCode, r.ExitCode) && i.Code == r.Code && i.Message == r.Message &&
		(i.StartedAt == nil) == (r.StartedAt == nil) &&
		(i.StartedAt == nil || i.StartedAt.UnixMicro() == r.StartedAt.UnixMicro())
}

func equal[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// Finish records the result of an action. The first result stays; an action
// that is no longer there is ignored, one of another machine is E_DENIED.
func (s *Service) Finish(ctx context.Context, machine string, a Action) error {
	output := a.Output
	if len(output) > maxActionOutput || !json.Valid(output) {
		output = nil
	}
	log := strings.ToValidUTF8(strings.ReplaceAll(a.Log, "\x00", ""), "?")
	log = strings.ToValidUTF8(log[max(0, len(log)-maxActionLog):], "")
	return s.db.Update(store.WithName(ctx, "finish action "+a.ID), func(tx *store.Tx) error {
		rows, err := store.All[Action](tx, `SELECT `+actionColumns+` FROM actions WHERE id = $1`, a.ID)
		if err != nil || len(rows) == 0 {
			return err
		}
		if rows[0].Machine != machine {
			return volvox.Errorf(volvox.Denied, "machine %s may not end an action of machine %s", machine, rows[0].Machine)
		}
		if rows[0].Status == Done {
			return nil
		}
		if a.Exit == nil {
			return volvox.Errorf(volvox.BadInput, "the result of action %s has no exit code", a.ID)
		}
		ended := time.Now()
		if a.EndedAt != nil {
			ended = *a.EndedAt
		}
		var out any
		if output != nil {
			out = output
		}
		_, err = tx.Exec(`UPDATE actions SET status = $1, exit = $2, output = $3, log = $4, ended_at = $5 WHERE id = $6`,
			Done, *a.Exit, out, log, ended, a.ID)
		return err
	})
}

// Secret returns the value of a secret that the instance names in its spec; a
// machine that the instance is not on, and a name that it does not have, are
// E_DENIED.
func (s *Service) Secret(ctx context.Context, machine string, id volvox.ID, name string) (value string, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		rows, err := store.All[Instance](tx, `SELECT `+columns+` FROM instances WHERE id = $1 AND machine = $2`, id, machine)
		if err != nil {
			return err
		}
		for _, i := range rows {
			spec, err := SpecOf(tx, i.Project, i.Name)
			if err != nil {
				return err
			}
			for _, has := range spec.Secrets {
				if has == name {
					value, err = s.secrets.Get(tx, i.Project, name)
					return err
				}
			}
		}
		return volvox.Errorf(volvox.Denied, "machine %s may not have secret %s", machine, name).
			Because("no instance %s on it names the secret", id)
	})
	return value, err
}
