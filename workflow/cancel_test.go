package workflow_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/workflow"
)

// maker is a workflow that makes things in steps and unmakes them when it
// fails or is cancelled.
type maker struct {
	hold    *gate // the step "hold" waits here
	undoing *gate // the step "unmake" waits here
	after   atomic.Int32
}

func newMaker() *maker { return &maker{hold: newGate(), undoing: newGate()} }

func (m *maker) workflow() *workflow.Workflow[int, string] {
	return workflow.Define("make", func(ctx workflow.Context, in int) (_ string, err error) {
		defer func() {
			if err != nil {
				undo := ctx.WithoutCancel()
				err = errors.Join(err,
					do(undo, "unmake", func(ctx context.Context) error { return m.undoing.heed(ctx, "unmake") }),
					workflow.Transaction(undo, "forget", func(tx *store.Tx) error { return effect(tx, ctx.ID(), "forget") }),
					workflow.Sleep(undo, time.Millisecond))
			}
		}()
		if err := workflow.Transaction(ctx, "make", func(tx *store.Tx) error { return effect(tx, ctx.ID(), "make") }); err != nil {
			return "", err
		}
		if err := do(ctx, "hold", func(ctx context.Context) error { return m.hold.heed(ctx, "hold") }); err != nil {
			return "", err
		}
		m.after.Add(1)
		return "made", do(ctx, "after", func(context.Context) error { m.after.Add(1); return nil })
	})
}

func kinds(steps []workflow.StepInfo) (all []string) {
	for _, s := range steps {
		all = append(all, strings.TrimSpace(string(s.Kind)+" "+s.Name))
	}
	return all
}

var undone = []string{"transaction make", "cancel hold", "step unmake", "transaction forget", "sleep sleep"}

func TestCancelEndsTheStepAndUndoes(t *testing.T) {
	db := open(t)
	m := newMaker()
	w := m.workflow()
	e := start(t, db, "one", w)
	h := begin(t, e, w, 1)
	receive(t, m.hold.reached)
	for range 2 {
		if err := e.Cancel(testContext(t), h.ID()); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, m.undoing.reached)
	close(m.undoing.open)
	if _, err := h.Result(testContext(t)); volvox.CodeOf(err) != volvox.Cancelled {
		t.Errorf("result: %v", err)
	}
	if got := kinds(stepsOf(t, e, h.ID())); !slices.Equal(got, undone) {
		t.Errorf("steps %q", got)
	}
	if n := infoOf(t, e, h.ID()); n.Status != workflow.Cancelled || n.CancelRequestedAt == nil || m.after.Load() != 0 {
		t.Errorf("row %+v; %d steps began after the cancel", n, m.after.Load())
	}
	if err := e.Cancel(testContext(t), h.ID()); err != nil {
		t.Errorf("cancel of what has ended: %v", err)
	}
}

// TestCancelSurvivesACrash lets the process die after the request, and again
// while it undoes.
func TestCancelSurvivesACrash(t *testing.T) {
	db := open(t)
	m := newMaker()
	w := m.workflow()
	e := start(t, db, "one", w)
	h := begin(t, e, w, 1)
	receive(t, m.hold.reached)
	crash(e)
	if err := newEngine(t, db, "nobody", w).Cancel(testContext(t), h.ID()); err != nil {
		t.Fatal(err)
	}
	e = start(t, db, "two", w)
	receive(t, m.undoing.reached)
	crash(e)
	e = start(t, db, "three", w)
	receive(t, m.undoing.reached)
	close(m.undoing.open)
	if _, err := workflow.Open[string](e, h.ID()).Result(testContext(t)); volvox.CodeOf(err) != volvox.Cancelled {
		t.Errorf("result: %v", err)
	}
	if got := kinds(stepsOf(t, e, h.ID())); !slices.Equal(got, undone) {
		t.Errorf("steps %q", got)
	}
	if len(m.hold.reached) != 0 || m.after.Load() != 0 {
		t.Error("a step began after the cancel")
	}
}

// TestCancelIsNoticedByTheRecord cancels behind the engine's back, as another
// process does: the step that runs is the last whose body began.
func TestCancelIsNoticedByTheRecord(t *testing.T) {
	check := func(t *testing.T, plant bool) (after int32) {
		db := open(t)
		m := newMaker()
		w := m.workflow()
		e := newEngine(t, db, "one", w)
		workflow.Blind(e)
		if plant {
			workflow.PlantNoCondition(e)
		}
		if err := e.Start(testContext(t)); err != nil {
			t.Fatal(err)
		}
		h := begin(t, e, w, 1)
		receive(t, m.hold.reached)
		close(m.undoing.open)
		_, err := db.Exec(testContext(t), `UPDATE workflows SET cancel_requested_at = $2 WHERE id = $1`, h.ID(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		close(m.hold.open)
		_, err = h.Result(testContext(t))
		if !plant && (volvox.CodeOf(err) != volvox.Cancelled || !slices.Equal(kinds(stepsOf(t, e, h.ID())), undone)) {
			t.Errorf("result %v, steps %q", err, kinds(stepsOf(t, e, h.ID())))
		}
		return m.after.Load()
	}
	t.Run("noticed", func(t *testing.T) {
		if after := check(t, false); after != 0 {
			t.Errorf("%d steps began after the cancel", after)
		}
	})
	t.Run("planted", func(t *testing.T) {
		if check(t, true) == 0 {
			t.Error("without the condition a step should have begun after the cancel")
		}
	})
}

// TestCancelByAnotherEngine reaches the step that runs through the feed.
func TestCancelByAnotherEngine(t *testing.T) {
	db := open(t)
	m := newMaker()
	w := m.workflow()
	e := start(t, db, "one", w)
	h := begin(t, e, w, 1)
	receive(t, m.hold.reached)
	other := newEngine(t, db, "other", w)
	waiting := make(chan error)
	go func() { _, err := workflow.Open[string](other, h.ID()).Result(testContext(t)); waiting <- err }()
	if err := other.Cancel(testContext(t), h.ID()); err != nil {
		t.Fatal(err)
	}
	receive(t, m.undoing.reached)
	close(m.undoing.open)
	if err := receive(t, waiting); volvox.CodeOf(err) != volvox.Cancelled {
		t.Errorf("result at the other engine: %v", err)
	}
}

func TestCancelEndsASleep(t *testing.T) {
	db := open(t)
	g := newGate()
	var late atomic.Int32
	w := workflow.Define("sleeper", func(ctx workflow.Context, d time.Duration) (int, error) {
		g.reached <- "asleep"
		if err := workflow.Sleep(ctx, d); err != nil {
			return 0, errors.Join(err, do(ctx.WithoutCancel(), "undo", func(ctx context.Context) error { return g.heed(ctx, "undo") }))
		}
		late.Add(1)
		return 0, do(ctx, "late", func(context.Context) error { late.Add(1); return nil })
	})
	e := start(t, db, "one", w)
	h := begin(t, e, w, 24*time.Hour)
	receive(t, g.reached)
	if err := e.Cancel(testContext(t), h.ID()); err != nil {
		t.Fatal(err)
	}
	if receive(t, g.reached) != "undo" {
		t.Error("it does not undo")
	}
	crash(e) // in "undo": its replay must end the sleep again
	before := kinds(stepsOf(t, e, h.ID()))
	e = start(t, db, "two", w)
	for receive(t, g.reached) != "undo" {
	}
	close(g.open)
	if _, err := workflow.Open[int](e, h.ID()).Result(testContext(t)); volvox.CodeOf(err) != volvox.Cancelled {
		t.Errorf("result: %v", err)
	}
	got := kinds(stepsOf(t, e, h.ID()))
	if !slices.Equal(got, append(before, "step undo")) || late.Load() != 0 {
		t.Errorf("steps %q, before the crash %q", got, before)
	}
}

func TestCancelBeforeItBegins(t *testing.T) {
	db := open(t)
	var ran atomic.Int32
	w := workflow.Define("w", func(ctx workflow.Context, in int) (int, error) { ran.Add(1); return 0, nil })
	e := newEngine(t, db, "one", w)
	h := begin(t, e, w, 1)
	if err := e.Cancel(testContext(t), h.ID()); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Result(testContext(t)); volvox.CodeOf(err) != volvox.Cancelled || ran.Load() != 0 {
		t.Errorf("result %v, ran %d times", err, ran.Load())
	}
}

// TestCancelComesTooLate: what was not refused any step has Succeeded.
func TestCancelComesTooLate(t *testing.T) {
	db := open(t)
	g := newGate()
	w := workflow.Define("w", func(ctx workflow.Context, in int) (string, error) { g.pass("last"); return "done", nil })
	e := start(t, db, "one", w)
	h := begin(t, e, w, 1)
	receive(t, g.reached)
	if err := e.Cancel(testContext(t), h.ID()); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	if got := result(t, h); got != "done" {
		t.Errorf("returned %q", got)
	}
}

// TestCancelEndsThoseWhoDoNotListen: a loop that ignores the errors of its
// steps is ended all the same.
func TestCancelEndsThoseWhoDoNotListen(t *testing.T) {
	db := open(t)
	began := make(chan struct{}, 1)
	w := workflow.Define("w", func(ctx workflow.Context, in int) (int, error) {
		for {
			do(ctx, "work", func(context.Context) error {
				select {
				case began <- struct{}{}:
				default:
				}
				return nil
			})
		}
	})
	e := start(t, db, "one", w)
	h := begin(t, e, w, 1)
	receive(t, began)
	if err := e.Cancel(testContext(t), h.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Result(testContext(t)); volvox.CodeOf(err) != volvox.Cancelled {
		t.Errorf("got %v", err)
	}
}
