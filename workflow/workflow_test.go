package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/workflow"
)

func newID() string { return string(volvox.NewID()) }

type order struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
}

func TestWorkflowRecordsItsSteps(t *testing.T) {
	db := open(t)
	w := workflow.Define("shop.order", func(ctx workflow.Context, o order) (string, error) {
		price, err := workflow.Step(ctx, "price", func(context.Context) (int, error) { return 7, nil })
		if err != nil {
			return "", err
		}
		if err := workflow.Transaction(ctx, "reserve", func(tx *store.Tx) error { return effect(tx, ctx.ID(), "reserve") }); err != nil {
			return "", err
		}
		if err := workflow.Sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
		return fmt.Sprintf("%d %s for %d", o.Count, o.Item, o.Count*price), nil
	})
	e := start(t, db, "one", w)
	h := begin(t, e, w, order{"nails", 3}, workflow.ID("order-42"), workflow.About("order", "main", "42"))
	if got := result(t, h); got != "3 nails for 21" {
		t.Errorf("returned %q", got)
	}
	if got := effectsOf(t, db, "order-42"); !slices.Equal(got, []string{"reserve"}) {
		t.Errorf("effects %q", got)
	}
	n := infoOf(t, e, "order-42")
	if n.Status != workflow.Succeeded || n.Kind != "order" || n.Subject != "42" || n.Project != "main" || n.Executor != "one" ||
		n.Attempts != 1 || n.EndedAt == nil || n.StartedAt == nil || n.WakeAt == nil || string(n.Output) != `"3 nails for 21"` {
		t.Errorf("row %+v", n)
	}
	var kinds []string
	for i, s := range stepsOf(t, e, "order-42") {
		kinds = append(kinds, string(s.Kind)+" "+s.Name)
		if s.Seq != i+1 || s.Attempts != 1 || s.Error != nil {
			t.Errorf("step %+v", s)
		}
	}
	if want := []string{"step price", "transaction reserve", "sleep sleep"}; !slices.Equal(kinds, want) {
		t.Errorf("steps %q", kinds)
	}
	list, err := e.List(testContext(t), workflow.Filter{Kind: "order", Subject: "42", Status: workflow.Succeeded})
	if err != nil || len(list) != 1 || list[0].ID != "order-42" {
		t.Errorf("listed %v, %v", list, err)
	}
}

func TestIDIsIdempotencyKey(t *testing.T) {
	db := open(t)
	var runs atomic.Int32
	w := workflow.Define("one", func(ctx workflow.Context, o order) (int32, error) { return runs.Add(1), nil })
	other := workflow.Define("other", func(ctx workflow.Context, o order) (int32, error) { return 0, nil })
	e := start(t, db, "one", w, other)
	for range 3 {
		if got := result(t, begin(t, e, w, order{"a", 1}, workflow.ID("k"))); got != 1 {
			t.Errorf("ran %d times", got)
		}
	}
	_, err := w.Start(testContext(t), e, order{"a", 2}, workflow.ID("k"))
	if volvox.CodeOf(err) != volvox.Exists || !strings.Contains(err.Error(), "count differ") {
		t.Errorf("other input: %v", err)
	}
	_, err = other.Start(testContext(t), e, order{"a", 1}, workflow.ID("k"))
	if volvox.CodeOf(err) != volvox.Exists || !strings.Contains(err.Error(), "it runs one, not other") {
		t.Errorf("other name: %v", err)
	}
	if _, err = w.Start(testContext(t), e, order{}, workflow.ID("")); volvox.CodeOf(err) != volvox.BadInput {
		t.Errorf("empty ID: %v", err)
	}
}

func TestStartInBeginsWithTheCommit(t *testing.T) {
	db := open(t)
	w := workflow.Define("w", func(ctx workflow.Context, in int) (int, error) { return in, nil })
	e := start(t, db, "one", w)
	var kept, undone []*workflow.Handle[int]
	for i := range 20 {
		no := errors.New("no")
		err := db.Update(testContext(t), func(tx *store.Tx) error {
			h, err := w.StartIn(tx, e, i, workflow.ID(fmt.Sprint("tx-", i)))
			again, errAgain := w.StartIn(tx, e, i, workflow.ID(fmt.Sprint("tx-", i)))
			if err != nil || errAgain != nil || again.ID() != h.ID() {
				return errors.Join(errors.New("start"), err, errAgain)
			}
			if i%2 == 0 {
				undone = append(undone, h)
				return no
			}
			kept = append(kept, h)
			return nil
		})
		if err != nil && !errors.Is(err, no) {
			t.Fatal(err)
		}
	}
	for _, h := range kept {
		if got := result(t, h); fmt.Sprint("tx-", got) != h.ID() {
			t.Errorf("%s returned %d", h.ID(), got)
		}
	}
	for _, h := range undone {
		if _, err := h.Result(testContext(t)); volvox.CodeOf(err) != volvox.NotFound {
			t.Errorf("%s was undone and still: %v", h.ID(), err)
		}
	}
}

func TestStartBeforeTheEngine(t *testing.T) {
	db := open(t)
	w := workflow.Define("w", func(ctx workflow.Context, in int) (int, error) { return in, nil })
	e := newEngine(t, db, "one", w)
	h := begin(t, e, w, 5)
	if got := infoOf(t, e, h.ID()).Status; got != workflow.Pending {
		t.Errorf("before Start it is %s", got)
	}
	if err := e.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := result(t, h); got != 5 {
		t.Errorf("returned %d", got)
	}
	if err := e.Start(testContext(t)); err == nil {
		t.Error("a second Start is no error")
	}
}

func TestErrorsComeBackTheSame(t *testing.T) {
	db := open(t)
	cause := fmt.Errorf("dial: %w", io.ErrUnexpectedEOF)
	w := workflow.Define("w", func(ctx workflow.Context, in int) (int, error) {
		err := do(ctx, "fail", func(context.Context) error {
			return volvox.Errorf(volvox.NoMemory, "no room for shop").From(cause).WithTry("ask for less")
		})
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, errors.New("the first run sees what a replay cannot see")
		}
		return 0, err
	})
	plain := workflow.Define("plain", func(ctx workflow.Context, in int) (int, error) {
		return 0, workflow.Transaction(ctx, "t", func(tx *store.Tx) error {
			return errors.Join(effect(tx, ctx.ID(), "undone"), errors.New("the disk is on fire"))
		})
	})
	e := start(t, db, "one", w, plain)
	h, p := begin(t, e, w, 1), begin(t, e, plain, 1)
	check := func(e *workflow.Engine) {
		t.Helper()
		_, err := workflow.Open[int](e, h.ID()).Result(testContext(t))
		got := volvox.AsError(err)
		if got == nil || got.Code != volvox.NoMemory || got.What != "no room for shop" || got.Cause() != cause.Error() || !slices.Equal(got.Try, []string{"ask for less"}) {
			t.Errorf("got %#v", got)
		}
		_, err = workflow.Open[int](e, p.ID()).Result(testContext(t))
		if volvox.CodeOf(err) != volvox.Internal || !strings.Contains(err.Error(), "the disk is on fire") {
			t.Errorf("got %v", err)
		}
	}
	check(e)
	crash(e)
	check(newEngine(t, db, "two", w, plain))
	if got := effectsOf(t, db, p.ID()); len(got) > 0 {
		t.Errorf("a failed transaction has effects: %q", got)
	}
	if n := infoOf(t, e, h.ID()); n.Status != workflow.Failed {
		t.Errorf("status %s", n.Status)
	}
}

func TestPanicIsAnError(t *testing.T) {
	db := open(t)
	w := workflow.Define("w", func(ctx workflow.Context, where string) (int, error) {
		switch where {
		case "step":
			return 0, do(ctx, "bad", func(context.Context) error { panic("ouch") })
		case "transaction":
			return 0, workflow.Transaction(ctx, "bad", func(*store.Tx) error { panic("ouch") })
		case "goexit":
			return 0, do(ctx, "bad", func(context.Context) error { goexit(); return nil })
		}
		panic("ouch")
	})
	e := start(t, db, "one", w)
	for _, where := range []string{"step", "transaction", "workflow"} {
		_, err := begin(t, e, w, where).Result(testContext(t))
		if volvox.CodeOf(err) != volvox.Internal || !strings.Contains(err.Error(), "panicked: ouch") || !strings.Contains(err.Error(), "workflow_test.go") {
			t.Errorf("panic in %s: %v", where, err)
		}
	}
	if _, err := begin(t, e, w, "goexit").Result(testContext(t)); err == nil || !strings.Contains(err.Error(), "runtime.Goexit") {
		t.Errorf("goexit: %v", err)
	}
}

func TestRetryAndTimeout(t *testing.T) {
	db := open(t)
	var tries atomic.Int32
	w := workflow.Define("w", func(ctx workflow.Context, code volvox.Code) (int32, error) {
		return workflow.Step(ctx, "try", func(context.Context) (int32, error) {
			if n := tries.Add(1); n < 3 {
				return n, volvox.Errorf(code, "not yet")
			}
			return tries.Load(), nil
		}, workflow.Retry(3, time.Millisecond, nil))
	})
	slow := workflow.Define("slow", func(ctx workflow.Context, in int) (int, error) {
		return 0, do(ctx, "wait", func(ctx context.Context) error { <-ctx.Done(); return errors.New("killed") },
			workflow.StepTimeout(time.Millisecond), workflow.Retry(2, time.Millisecond, nil))
	})
	function := workflow.Define("function", func(ctx workflow.Context, in int) (func(), error) {
		return workflow.Step(ctx, "make", func(context.Context) (func(), error) { return func() {}, nil })
	})
	e := start(t, db, "one", w, slow, function)
	h := begin(t, e, w, volvox.Unavailable)
	if got := result(t, h); got != 3 || stepsOf(t, e, h.ID())[0].Attempts != 3 {
		t.Errorf("took %d tries", got)
	}
	tries.Store(0)
	if _, err := begin(t, e, w, volvox.BadInput).Result(testContext(t)); volvox.CodeOf(err) != volvox.BadInput || tries.Load() != 1 {
		t.Errorf("an error that is not retryable was tried %d times: %v", tries.Load(), err)
	}
	s := begin(t, e, slow, 0)
	if _, err := s.Result(testContext(t)); volvox.CodeOf(err) != volvox.Timeout || stepsOf(t, e, s.ID())[0].Attempts != 2 {
		t.Errorf("timeout: %v", err)
	}
	if _, err := begin(t, e, function, 0).Result(testContext(t)); volvox.CodeOf(err) != volvox.NotSerializable {
		t.Errorf("a function as output: %v", err)
	}
}

func TestStepsDoNotNest(t *testing.T) {
	db := open(t)
	w := workflow.Define("w", func(ctx workflow.Context, in int) (int, error) {
		return 0, do(ctx, "outer", func(context.Context) error {
			return do(ctx, "inner", func(context.Context) error { return nil })
		})
	})
	e := start(t, db, "one", w)
	if _, err := begin(t, e, w, 1).Result(testContext(t)); err == nil || !strings.Contains(err.Error(), "inside another step") {
		t.Errorf("got %v", err)
	}
}

func TestResultOfWhatIsNotThere(t *testing.T) {
	db := open(t)
	g := newGate()
	w := workflow.Define("w", func(ctx workflow.Context, in int) (int, error) {
		return 0, do(ctx, "wait", func(ctx context.Context) error { return g.heed(ctx, "") })
	})
	e := start(t, db, "one", w)
	if _, err := workflow.Open[int](e, "nobody").Result(testContext(t)); volvox.CodeOf(err) != volvox.NotFound {
		t.Errorf("unknown: %v", err)
	}
	if err := e.Cancel(testContext(t), "nobody"); volvox.CodeOf(err) != volvox.NotFound {
		t.Errorf("cancel of unknown: %v", err)
	}
	h := begin(t, e, w, 1)
	receive(t, g.reached)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Result(ctx); volvox.CodeOf(err) != volvox.StillRunning || !errors.Is(err, context.Canceled) {
		t.Errorf("impatient: %v", err)
	}
	waiting := make(chan error)
	go func() { _, err := h.Result(testContext(t)); waiting <- err }()
	crash(e)
	if err := receive(t, waiting); volvox.CodeOf(err) != volvox.Unavailable {
		t.Errorf("engine stopped: %v", err)
	}
}

func TestNewRefusesBadDefinitions(t *testing.T) {
	f := func(ctx workflow.Context, in int) (int, error) { return 0, nil }
	w := workflow.Define("w", f)
	for name, defined := range map[string][]workflow.Definition{
		"twice":   {w, workflow.Define("w", f)},
		"no name": {workflow.Define("", f)},
	} {
		if _, err := workflow.New(nil, workflow.Options{}, defined...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	e, err := workflow.New(nil, workflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Start(t.Context(), e, 1); err == nil || !strings.Contains(err.Error(), "not registered") {
		t.Errorf("start of a workflow that is not registered: %v", err)
	}
}
