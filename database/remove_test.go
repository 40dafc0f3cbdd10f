package database

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/workflow"
)

// password is a secret's value.
func (w *world) password(name string) (value string) {
	w.t.Helper()
	w.must(w.db.View(w.ctx, func(tx *store.Tx) (err error) {
		value, err = w.secrets.Get(tx, volvox.DefaultProject, name)
		return err
	}))
	return value
}

func (w *world) spec(name string) (spec instance.Spec, err error) {
	err = w.db.View(w.ctx, func(tx *store.Tx) (err error) {
		spec, err = instance.SpecOf(tx, volvox.DefaultProject, name)
		return err
	})
	return spec, err
}

func TestDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	first := w.create(shop)
	id, err := w.service.Delete(w.ctx, "main", "shop")
	w.must(err)
	if info := w.ended(id); info.Status != workflow.Succeeded {
		t.Errorf("the deletion is %s: %v", info.Status, info.Error)
	}
	if w.gaveUp(id) {
		t.Error("the creation of a database that was Running was given up")
	}
	w.nothingLeft()
	if _, err := w.service.Delete(w.ctx, "main", "shop"); volvox.CodeOf(err) != volvox.NotFound {
		t.Errorf("deleted again: %v", err)
	}
	if again := w.create(shop); again.ID == first.ID || again.Phase != volvox.Running {
		t.Errorf("made again it is %+v", again)
	}
	events, err := w.service.Events(w.ctx, "main", "shop", 100, true)
	w.must(err)
	if len(events) < 10 {
		t.Errorf("only %d events", len(events))
	}
	own, err := w.service.Events(w.ctx, "main", "shop", 100, false)
	w.must(err)
	if len(own) == 0 || len(own) >= len(events) || !strings.HasPrefix(own[0].Message, "creation was asked for") {
		t.Errorf("the events of the second one are %+v", own)
	}
}

func TestDeleteUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	w.create(Wish{Name: "shop", Engine: "counter"})
	_, err := w.service.Delete(w.ctx, "main", "shp")
	e := volvox.AsError(err)
	if e == nil || e.Code != volvox.NotFound || e.Try[0] != "volvox db show shop" {
		t.Errorf("got %+v", e)
	}
	if _, err := w.service.Events(w.ctx, "main", "never", 10, false); volvox.CodeOf(err) != volvox.NotFound {
		t.Errorf("events of nothing: %v", err)
	}
}

// While a database is being deleted its name is busy, a second deletion is
// the first one, and clients are told.
func TestDeleteTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	w.create(shop)
	w.twin.plant("remove shop-counter-1", fault{never: true})
	first, err := w.service.Delete(w.ctx, "main", "shop")
	w.must(err)
	second, err := w.service.Delete(w.ctx, "main", "shop")
	w.must(err)
	if first != second {
		t.Errorf("workflows %s and %s", first, second)
	}
	if _, _, err := w.service.Create(w.ctx, shop); volvox.CodeOf(err) != volvox.Busy {
		t.Errorf("create: %v", err)
	}
	plan, err := w.service.Plan(w.ctx, shop)
	w.must(err)
	if plan.Error == nil || plan.Error.Code != volvox.Busy {
		t.Errorf("plan: %+v", plan)
	}
	if _, err := w.service.Apply(w.ctx, []Wish{shop}); volvox.CodeOf(err) != volvox.Busy {
		t.Errorf("apply: %v", err)
	}
	w.twin.mend()
	if info := w.ended(first); info.Status != workflow.Succeeded {
		t.Errorf("the deletion is %s: %v", info.Status, info.Error)
	}
	w.nothingLeft()
}

// A deletion ends although a machine never says that its member is gone.
func TestDeleteSilentMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.limits.RemoveLimit = 200 * time.Millisecond
	w.boot()
	w.create(shop)
	w.twin.plant("remove shop-counter-0", fault{never: true})
	w.twin.plant("remove shop-counter-2", fault{never: true})
	id, err := w.service.Delete(w.ctx, "main", "shop")
	w.must(err)
	if info := w.ended(id); info.Status != workflow.Succeeded {
		t.Errorf("the deletion is %s: %v", info.Status, info.Error)
	}
	w.nothingLeft()
}

// A deletion ends although a member's rows are gone already.
func TestDeleteMemberGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	w.create(shop)
	w.must(w.db.Update(w.ctx, func(tx *store.Tx) error { return instance.Delete(tx, "main", "shop-counter-0") }))
	_, err := w.instances.WaitInstances(w.ctx, instance.Filter{Cluster: "shop"}, func(is []instance.Instance) (bool, error) { return len(is) == 2, nil })
	w.must(err)
	id, err := w.service.Delete(w.ctx, "main", "shop")
	w.must(err)
	if info := w.ended(id); info.Status != workflow.Succeeded {
		t.Errorf("the deletion is %s: %v", info.Status, info.Error)
	}
	w.nothingLeft()
}

// A creation may be given up behind every step: both workflows end, and
// nothing is left.
func TestDeleteDuringCreate(t *testing.T) {
	for n := range pairSteps {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).boot()
			seen := w.watch()
			_, create, err := w.service.Create(w.ctx, pair)
			w.must(err)
			if n > 0 {
				w.steps(create, seen, func(done int) bool { return done == n })
			}
			remove, err := w.service.Delete(w.ctx, "main", "shop")
			w.must(err)
			if info := w.ended(remove); info.Status != workflow.Succeeded {
				t.Errorf("the deletion is %s: %v", info.Status, info.Error)
			}
			w.ended(create) // as it was cancelled, or done just before
			w.nothingLeft()
		})
	}
}

// gaveUp says whether a deletion had a step that ended the creation.
func (w *world) gaveUp(id string) bool {
	w.t.Helper()
	steps, err := w.engine.Steps(w.ctx, id)
	w.must(err)
	return slices.ContainsFunc(steps, func(s workflow.StepInfo) bool { return s.Name == "give up its creation" })
}

// A creation that waits for an agent for ever can be given up.
func TestDeleteDuringWait(t *testing.T) {
	for _, at := range []string{"prepare shop-counter-0", "init shop-counter-0", "start shop-counter-1", "seed shop-counter-2"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).boot()
			w.twin.plant(at, fault{never: true})
			_, create, err := w.service.Create(w.ctx, shop)
			w.must(err)
			remove, err := w.service.Delete(w.ctx, "main", "shop")
			w.must(err)
			if info := w.ended(remove); info.Status != workflow.Succeeded {
				t.Errorf("the deletion is %s: %v", info.Status, info.Error)
			}
			if !w.gaveUp(remove) {
				t.Error("no step says that the creation was given up")
			}
			if info := w.ended(create); info.Error == nil || info.Error.Code != volvox.Cancelled {
				t.Errorf("the creation is %s: %v", info.Status, info.Error)
			}
			w.nothingLeft()
		})
	}
}

// Cancelling the workflow of a creation undoes it.
func TestCancelCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	seen := w.watch()
	w.twin.plant("seed shop-counter-1", fault{never: true})
	_, id, err := w.service.Create(w.ctx, shop)
	w.must(err)
	w.steps(id, seen, func(n int) bool { return n == 8 })
	w.must(w.engine.Cancel(w.ctx, id))
	if info := w.ended(id); info.Status != workflow.Cancelled {
		t.Errorf("the creation is %s: %v", info.Status, info.Error)
	}
	w.nothingLeft()
}

// The engine is killed behind every step of a deletion, and of the undoing of
// a creation that failed.
func TestRemovalKilledAtEveryStep(t *testing.T) {
	for n := range 5 {
		t.Run(fmt.Sprint("delete ", n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).boot()
			w.create(pair)
			seen := w.watch()
			id, err := w.service.Delete(w.ctx, "main", "shop")
			w.must(err)
			if n > 0 {
				w.steps(id, seen, func(done int) bool { return done == min(n, 3) })
			}
			w.kill()
			w.boot()
			if info := w.ended(id); info.Status != workflow.Succeeded {
				t.Errorf("the deletion is %s: %v", info.Status, info.Error)
			}
			w.nothingLeft()
		})
		t.Run(fmt.Sprint("undo ", n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).boot()
			w.twin.plant("init shop-counter-0", fault{exits: []int{30}})
			seen := w.watch()
			_, id, err := w.service.Create(w.ctx, pair)
			w.must(err)
			w.steps(id, seen, func(done int) bool { return done == min(3+n, 7) })
			w.kill()
			w.boot()
			if info := w.ended(id); info.Status != workflow.Failed || info.Error.Code != volvox.ActionFailed {
				t.Errorf("the creation is %s: %v", info.Status, info.Error)
			}
			w.nothingLeft()
		})
	}
}
