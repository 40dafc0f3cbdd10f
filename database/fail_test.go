package database

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/workflow"
)

// Whatever fails while a database is made, the error says what, and nothing
// of the database is left.
func TestCreateFails(t *testing.T) {
	for _, tc := range []struct {
		name  string
		at    string
		fault fault
		code  volvox.Code
		say   string
	}{
		{"an image cannot be fetched", "prepare shop-counter-0", fault{code: volvox.MirrorUnavailable, message: "mirror.example does not answer"}, volvox.MirrorUnavailable, "mirror.example does not answer"},
		{"a later member's image", "prepare shop-counter-1", fault{code: volvox.Checksum, message: "wrong sum"}, volvox.Checksum, "shop-counter-1 failed: wrong sum"},
		{"the first member crashes", "start shop-counter-0", fault{code: volvox.Crashed, message: "exit code 1"}, volvox.Crashed, "shop-counter-0 failed: exit code 1"},
		{"a later member crashes", "start shop-counter-2", fault{code: volvox.OutOfMemory, message: "killed"}, volvox.OutOfMemory, "shop-counter-2 failed"},
		{"init fails", "init shop-counter-0", fault{exits: []int{30}}, volvox.ActionFailed, "init shop-counter-0 says 30"},
		{"init refuses", "init shop-counter-0", fault{exits: []int{40}}, volvox.ActionRefused, "says 40"},
		{"init takes too long", "init shop-counter-0", fault{exits: []int{124}}, volvox.Timeout, "says 124"},
		{"init ends strangely", "init shop-counter-0", fault{exits: []int{77}}, volvox.ActionFailed, "says 77"},
		{"setup fails", "setup shop-counter-0", fault{exits: []int{30}}, volvox.ActionFailed, "set up shop"},
		{"join fails", "join shop-counter-1", fault{exits: []int{30}}, volvox.ActionFailed, "join shop-counter-1 says 30"},
		{"seed stays transient", "seed shop-counter-1", fault{exits: []int{20}}, volvox.ActionFailed, "seed shop-counter-1 says 20"},
		{"the last seed fails", "seed shop-counter-2", fault{exits: []int{30}}, volvox.ActionFailed, "seed shop-counter-2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).boot()
			w.twin.plant(tc.at, tc.fault)
			_, id, err := w.service.Create(w.ctx, shop)
			w.must(err)
			_, err = workflow.Open[Target](w.engine, id).Result(w.ctx)
			e := volvox.AsError(err)
			if e == nil || e.Code != tc.code || !strings.Contains(e.Error(), tc.say) || len(e.Try) == 0 || e.Ref.Name != "shop" {
				t.Errorf("got %+v, want %s with %q", e, tc.code, tc.say)
			}
			if info := w.ended(id); info.Status != workflow.Failed || info.Error.Code != tc.code {
				t.Errorf("the workflow is %s: %v", info.Status, info.Error)
			}
			w.nothingLeft()
			found := false
			for _, e := range w.events("cluster", "shop") {
				found = found || e.Level == "error" && e.Code == tc.code && strings.Contains(e.Message, tc.say)
			}
			if !found {
				t.Errorf("no event says why: %+v", w.events("cluster", "shop"))
			}
			w.twin.mend()
			if c := w.create(shop); c.Phase != volvox.Running {
				t.Errorf("made again it is %+v", c)
			}
		})
	}
}

// A transient end is tried again, and one that does not apply is no failure.
func TestCreateTransient(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	w.twin.plant("seed shop-counter-1", fault{exits: []int{20, 20, 0}})
	w.twin.plant("setup shop-counter-0", fault{exits: []int{11}})
	if c := w.create(shop); c.Phase != volvox.Running {
		t.Errorf("it is %+v", c)
	}
	if ran := w.twin.actions(); ran["seed shop-counter-1"] != 3 || ran["setup shop-counter-0"] != 1 {
		t.Errorf("the actions run are %v", ran)
	}
}

// Every wait has an end, also when an agent says nothing at all.
func TestCreateLimit(t *testing.T) {
	for _, at := range []string{"prepare shop-counter-0", "init shop-counter-0", "start shop-counter-1"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.limits.CreateLimit = 300 * time.Millisecond
			w.boot()
			w.twin.plant(at, fault{never: true})
			_, id, err := w.service.Create(w.ctx, shop)
			w.must(err)
			info := w.ended(id)
			if info.Status != workflow.Failed || info.Error.Code != volvox.Timeout {
				t.Errorf("the workflow is %s: %v", info.Status, info.Error)
			}
			w.nothingLeft()
		})
	}
}

// A member that runs and never gets ready is not waited for to the end, and
// the error has all that would help and is removed with it.
func TestCreateNeverReady(t *testing.T) {
	for _, tc := range []struct{ name, probe, output, say string }{
		{"silent", "", "", "its probe has said nothing; it has printed nothing"},
		{"it says why", "cannot open its files", "one\ntwo\n", "its probe said last: cannot open its files; it printed last:\none\ntwo"},
		{"it says much", "no", strings.Repeat("x", 5000), "it printed last:\n…xxx"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.limits.StartLimit = 500 * time.Millisecond
			w.limits.Output = func(context.Context, volvox.ID, int) (string, error) { return tc.output, nil }
			w.boot()
			w.twin.plant("start shop-counter-0", fault{unready: true, message: tc.probe})
			_, id, err := w.service.Create(w.ctx, shop)
			w.must(err)
			info := w.ended(id)
			if info.Status != workflow.Failed || info.Error.Code != volvox.Timeout || !strings.Contains(info.Error.Cause(), tc.say) || len(info.Error.Cause()) > 1500 {
				t.Errorf("the workflow is %s: %v, because %s", info.Status, info.Error, info.Error.Cause())
			}
			w.nothingLeft()
		})
	}
}

// The room that was there when the wish was accepted can be gone when it is
// placed.
func TestCreateRoomTakenMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	w.kill() // so that nothing is placed yet
	first := Wish{Name: "first", Engine: "counter", MemoryBytes: 5 << 30}
	second := Wish{Name: "second", Engine: "counter", MemoryBytes: 5 << 30}
	_, a, err := w.service.Create(w.ctx, first)
	w.must(err)
	_, b, err := w.service.Create(w.ctx, second)
	if err == nil {
		w.boot()
		one, two := w.ended(a), w.ended(b)
		if (one.Status == workflow.Succeeded) == (two.Status == workflow.Succeeded) {
			t.Errorf("both are %s", one.Status)
		}
		return
	}
	if volvox.CodeOf(err) != volvox.NoMemory {
		t.Errorf("the second one: %v", err)
	}
}

// Facts of an older wish say nothing about the present one.
func TestCreateStaleFacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	w.twin.plant("start shop-counter-0", fault{never: true})
	_, id, err := w.service.Create(w.ctx, Wish{Name: "shop", Engine: "counter"})
	w.must(err)
	found, err := w.instances.WaitInstances(w.ctx, instance.Filter{Names: []string{"shop-counter-0"}}, func(is []instance.Instance) (bool, error) {
		return len(is) == 1 && is[0].Desired == instance.Run, nil
	})
	w.must(err)
	w.must(w.twin.report(w.ctx, found[0], func(r *instance.Report) {
		r.Observed, r.Phase, r.Code, r.Message = r.Observed-1, volvox.Failed, volvox.RuntimeFailed, "of an older wish"
	}))
	w.must(w.twin.report(w.ctx, found[0], func(r *instance.Report) {
		r.Observed, r.Phase, r.Ready = r.Observed-1, volvox.Running, true
	}))
	w.twin.mend()
	if info := w.ended(id); info.Status != workflow.Succeeded {
		t.Errorf("the creation is %s: %v", info.Status, info.Error)
	}
	i, err := w.instances.Get(w.ctx, "main", "shop-counter-0")
	w.must(err)
	if i.Observed != i.Generation {
		t.Errorf("it was taken for ready by the facts of generation %d, not %d", i.Observed, i.Generation)
	}
}

// Nothing is written for a database whose deletion was acknowledged, or for
// one that has its name later.
func TestCreateWritesNothingAfterDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	w.kill() // so that nothing happens by itself
	c, _, err := w.service.Create(w.ctx, shop)
	w.must(err)
	m := maker{Service: w.service, Target: Target{Project: c.Project, Name: c.Name, ID: c.ID}, until: time.Now().Add(deadline)}
	other := m
	other.ID = volvox.NewID()
	try := func(m maker, name string) {
		t.Helper()
		for what, f := range map[string]func(tx *store.Tx) error{"place": m.placeAll, "open": m.open} {
			if err := w.db.Update(w.ctx, f); volvox.CodeOf(err) != volvox.Cancelled {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
	try(other, "another of the name")
	_, err = w.service.Delete(w.ctx, "main", "shop")
	w.must(err)
	try(m, "deleted")
	w.boot()
	w.ended("delete-" + string(c.ID))
	w.nothingLeft()
}
