package workflow_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/workflow"
)

func goexit() { runtime.Goexit() }

func TestStopWaitsAndTheWorkflowGoesOn(t *testing.T) {
	db := open(t)
	g := newGate()
	var first, second, deferred atomic.Int32
	w := workflow.Define("w", func(ctx workflow.Context, in int) (string, error) {
		defer deferred.Add(1)
		if err := do(ctx, "first", func(context.Context) error { first.Add(1); g.pass("first"); return nil }); err != nil {
			return "", err
		}
		return "done", do(ctx, "second", func(context.Context) error { second.Add(1); return nil })
	})
	e := start(t, db, "one", w)
	h := begin(t, e, w, 1)
	receive(t, g.reached)
	stopped := make(chan error, 2)
	for range 2 {
		go func() { stopped <- e.Stop(testContext(t)) }()
	}
	close(g.open)
	for range 2 {
		if err := receive(t, stopped); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	if deferred.Load() != 1 {
		t.Error("deferred calls did not run")
	}
	steps := stepsOf(t, e, h.ID())
	if second.Load() != int32(len(steps)-1) {
		t.Errorf("%d steps recorded, second ran %d times", len(steps), second.Load())
	}
	if got := result(t, workflow.Open[string](start(t, db, "two", w), h.ID())); got != "done" || first.Load() != 1 || second.Load() != 1 {
		t.Errorf("returned %q; first ran %d times, second %d times", got, first.Load(), second.Load())
	}
}

func TestStopBeforeStart(t *testing.T) {
	e := newEngine(t, open(t), "one")
	for range 2 {
		if err := e.Stop(testContext(t)); err != nil {
			t.Error(err)
		}
	}
	if err := e.Start(testContext(t)); err == nil {
		t.Error("started after Stop")
	}
}

// TestTakenOverEverywhere crashes an engine in each step of a workflow.
func TestTakenOverEverywhere(t *testing.T) {
	const steps = 6
	for at := range steps {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			db := open(t)
			g := newGate()
			var ran [steps]atomic.Int32
			var hold atomic.Bool
			hold.Store(true)
			w := workflow.Define("w", func(ctx workflow.Context, in int) (sum int, err error) {
				for i := range steps {
					name := fmt.Sprint("step ", i)
					body := func(ctx context.Context) (int, error) {
						ran[i].Add(1)
						if i == at && hold.Load() {
							return 0, g.heed(ctx, name)
						}
						return i, nil
					}
					n := i
					switch i % 3 {
					case 2:
						err = workflow.Sleep(ctx, time.Microsecond)
						if i == at && hold.Load() {
							g.heed(ctx, name)
						}
					case 1:
						err = workflow.Transaction(ctx, name, func(tx *store.Tx) error { return effect(tx, ctx.ID(), name) })
						if i == at && hold.Load() {
							g.heed(ctx, name)
						}
					default:
						n, err = workflow.Step(ctx, name, body)
					}
					if err != nil {
						return sum, err
					}
					sum += n
				}
				return sum, nil
			})
			e := start(t, db, "one", w)
			h := begin(t, e, w, 1)
			receive(t, g.reached)
			before := len(stepsOf(t, e, h.ID()))
			crash(e)
			hold.Store(false)
			e = start(t, db, "two", w)
			if got := result(t, workflow.Open[int](e, h.ID())); got != 15 {
				t.Errorf("returned %d", got)
			}
			for i := range steps {
				want := int32(1)
				if i%3 != 0 {
					want = 0
				} else if i == at {
					want = 2
				}
				if got := ran[i].Load(); got != want {
					t.Errorf("step %d ran %d times, %d steps were recorded before the crash", i, got, before)
				}
			}
			if got := effectsOf(t, db, h.ID()); !slices.Equal(got, []string{"step 1", "step 4"}) {
				t.Errorf("effects %q", got)
			}
			if n := infoOf(t, e, h.ID()); n.Attempts != 2 || n.Fence != 2 || n.Executor != "two" {
				t.Errorf("row %+v", n)
			}
		})
	}
}

func TestZombieIsRefused(t *testing.T) {
	check := func(t *testing.T, plant bool) (recorded string) {
		db := open(t)
		g := newGate()
		w := workflow.Define("w", func(ctx workflow.Context, in int) (string, error) {
			by, err := workflow.Step(ctx, "work", func(context.Context) (string, error) {
				g.pass("work")
				return "zombie", nil
			})
			if err != nil {
				return "", err
			}
			return by, workflow.Transaction(ctx, "write", func(tx *store.Tx) error { return effect(tx, ctx.ID(), by) })
		})
		zombie := newEngine(t, db, "zombie", w)
		workflow.Blind(zombie)
		if plant {
			workflow.PlantNoCondition(zombie)
		}
		if err := zombie.Start(testContext(t)); err != nil {
			t.Fatal(err)
		}
		h := begin(t, zombie, w, 1)
		receive(t, g.reached)

		// The same workflow elsewhere; its code holds the step until the zombie
		// has tried to record.
		g2 := newGate()
		w2 := workflow.Define("w", func(ctx workflow.Context, in int) (string, error) {
			by, err := workflow.Step(ctx, "work", func(context.Context) (string, error) {
				g2.pass("work")
				return "heir", nil
			})
			if err != nil {
				return "", err
			}
			return by, workflow.Transaction(ctx, "write", func(tx *store.Tx) error { return effect(tx, ctx.ID(), by) })
		})
		heir := start(t, db, "heir", w2)
		receive(t, g2.reached)
		close(g.open)
		if err := zombie.Stop(testContext(t)); err != nil {
			t.Fatal(err)
		}
		close(g2.open)
		by := result(t, workflow.Open[string](heir, h.ID()))
		if got := effectsOf(t, db, h.ID()); !slices.Equal(got, []string{by}) {
			t.Errorf("effects %q of a workflow that returned %q", got, by)
		}
		return by
	}
	t.Run("refused", func(t *testing.T) {
		if by := check(t, false); by != "heir" {
			t.Errorf("the record is that of the %s", by)
		}
	})
	t.Run("planted", func(t *testing.T) {
		if by := check(t, true); by != "zombie" {
			t.Errorf("without the condition the zombie's record should get in; it is that of the %s", by)
		}
	})
}

func TestUnknownCodeWaits(t *testing.T) {
	db := open(t)
	g := newGate()
	w := workflow.Define("later", func(ctx workflow.Context, in int) (int, error) {
		return in, do(ctx, "wait", func(ctx context.Context) error { return g.heed(ctx, "") })
	})
	e := start(t, db, "one", w)
	h := begin(t, e, w, 3)
	receive(t, g.reached)
	crash(e)
	var log bytes.Buffer
	without, err := workflow.New(db, workflow.Options{Executor: "two", Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := without.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := without.Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "name=later") {
		t.Errorf("no warning: %s", &log)
	}
	close(g.open)
	if got := result(t, workflow.Open[int](start(t, db, "three", w), h.ID())); got != 3 {
		t.Errorf("returned %d", got)
	}
}

func TestDeterminism(t *testing.T) {
	db := open(t)
	g := newGate()
	version := func(second string, extra bool) *workflow.Workflow[int, int] {
		return workflow.Define("w", func(ctx workflow.Context, in int) (int, error) {
			if err := do(ctx, "first", func(context.Context) error { return nil }); err != nil || second == "" {
				return in, err
			}
			if extra {
				return in, workflow.Transaction(ctx, second, func(*store.Tx) error { return nil })
			}
			if err := do(ctx, second, func(context.Context) error { return nil }); err != nil {
				return in, err
			}
			return in, do(ctx, "hold", func(ctx context.Context) error { return g.heed(ctx, "") })
		})
	}
	good := version("second", false)
	e := start(t, db, "one", good)
	h := begin(t, e, good, 4)
	receive(t, g.reached)
	crash(e)

	for name, bad := range map[string]*workflow.Workflow[int, int]{
		`the code asks for step "zweiter" (`:          version("zweiter", false),
		`the code asks for transaction "second" (`:    version("second", true),
		`the code of workflow w returned, the record`: version("", false),
	} {
		e := start(t, db, "bad", bad)
		_, err := workflow.Open[int](e, h.ID()).Result(testContext(t))
		if volvox.CodeOf(err) != volvox.Determinism || !strings.Contains(err.Error(), "at step 2") ||
			!strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), `the record has step "second"`) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(name, "asks") && !strings.Contains(err.Error(), "recover_test.go:") && !strings.Contains(err.Error(), "helper_test.go:") {
			t.Errorf("no source line: %v", err)
		}
		if n := infoOf(t, e, h.ID()); n.Status != workflow.Running || n.Error == nil {
			t.Errorf("row %+v", n)
		}
		crash(e)
	}
	close(g.open)
	e = start(t, db, "good", good)
	if got := result(t, workflow.Open[int](e, h.ID())); got != 4 {
		t.Errorf("returned %d", got)
	}
	if n := infoOf(t, e, h.ID()); n.Status != workflow.Succeeded || n.Error != nil {
		t.Errorf("row %+v", n)
	}
}

func TestParkedIsEndedByCancel(t *testing.T) {
	db := open(t)
	g := newGate()
	define := func(step string) *workflow.Workflow[int, int] {
		return workflow.Define("w", func(ctx workflow.Context, in int) (int, error) {
			if err := do(ctx, step, func(context.Context) error { return nil }); err != nil {
				return 0, err
			}
			return 0, do(ctx, "hold", func(ctx context.Context) error { return g.heed(ctx, "") })
		})
	}
	w := define("a")
	e := start(t, db, "one", w)
	h := begin(t, e, w, 1)
	receive(t, g.reached)
	crash(e)
	e = start(t, db, "two", define("b"))
	if _, err := workflow.Open[int](e, h.ID()).Result(testContext(t)); volvox.CodeOf(err) != volvox.Determinism {
		t.Fatalf("got %v", err)
	}
	if err := e.Cancel(testContext(t), h.ID()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		for {
			_, err := workflow.Open[int](e, h.ID()).Result(testContext(t))
			if volvox.CodeOf(err) != volvox.Determinism {
				ended <- err
				return
			}
			runtime.Gosched()
		}
	}()
	if err := receive(t, ended); volvox.CodeOf(err) != volvox.Cancelled || !strings.Contains(err.Error(), "another path") {
		t.Errorf("got %v", err)
	}
}

func TestLogIsSilentWhileReplaying(t *testing.T) {
	db := open(t)
	g := newGate()
	var log bytes.Buffer
	w := workflow.Define("w", func(ctx workflow.Context, in int) (int, error) {
		for i := range 3 {
			ctx.Log().Info("said", "n", i)
			if err := do(ctx, fmt.Sprint(i), func(ctx context.Context) error {
				if i == 2 {
					return g.heed(ctx, "")
				}
				return nil
			}); err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
	open := func() *workflow.Engine {
		e, err := workflow.New(db, workflow.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, w)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Start(testContext(t)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { crash(e) })
		return e
	}
	e := open()
	h := begin(t, e, w, 1)
	receive(t, g.reached)
	crash(e)
	close(g.open)
	e = open()
	result(t, workflow.Open[int](e, h.ID()))
	crash(e)
	for n, want := range map[string]int{"n=0": 1, "n=1": 1, "n=2": 2} {
		if got := strings.Count(log.String(), n); got != want {
			t.Errorf("%s was said %d times", n, got)
		}
	}
	if !strings.Contains(log.String(), "workflow="+h.ID()) {
		t.Error("the log does not name the workflow")
	}
}
