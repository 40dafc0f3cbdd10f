package workflow_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/workflow"
)

// until waits for a condition.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx := testContext(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s does not come", what)
		}
	}
}

// TestSleepersCostNoGoroutine puts many to sleep; one is woken by the time,
// one by a cancel, one by another engine, one by none.
func TestSleepersCostNoGoroutine(t *testing.T) {
	db := open(t)
	var deferred, woken atomic.Int32
	w := workflow.Define("sleeper", func(ctx workflow.Context, d time.Duration) (string, error) {
		defer deferred.Add(1)
		for range 2 {
			if err := workflow.Sleep(ctx, d); err != nil {
				return "", err
			}
			woken.Add(1)
		}
		return "awake", nil
	})
	e := newEngine(t, db, "one", w)
	workflow.SetLinger(e, time.Millisecond)
	if err := e.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	const many = 100
	for i := range many {
		begin(t, e, w, 24*time.Hour, workflow.ID(fmt.Sprint("long-", i)))
	}
	until(t, "sleep", func() bool { return workflow.Asleep(e) == many })
	if after := runtime.NumGoroutine(); after > before+many/2 {
		t.Errorf("%d goroutines before, %d with %d sleepers", before, after, many)
	}
	if deferred.Load() != many {
		t.Errorf("the deferred calls of %d workflows ran", deferred.Load())
	}
	if got := result(t, begin(t, e, w, 20*time.Millisecond)); got != "awake" || woken.Load() < 2 {
		t.Errorf("returned %q after %d sleeps", got, woken.Load())
	}
	if err := e.Cancel(testContext(t), "long-7"); err != nil {
		t.Fatal(err)
	}
	if _, err := workflow.Open[string](e, "long-7").Result(testContext(t)); volvox.CodeOf(err) != volvox.Cancelled {
		t.Errorf("a sleeper was cancelled: %v", err)
	}
	heir := newEngine(t, db, "two", w)
	workflow.SetLinger(heir, time.Millisecond)
	if err := heir.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	until(t, "sleep at the heir", func() bool { return workflow.Asleep(heir) == many-1 })
	until(t, "the loss of the sleepers", func() bool { return workflow.Asleep(e) == 0 })
	if err := heir.Stop(testContext(t)); err != nil || workflow.Asleep(heir) != 0 {
		t.Errorf("stop: %v", err)
	}
	if n := infoOf(t, e, "long-8"); n.Status != workflow.Running || n.WakeAt == nil || n.Fence != 2 {
		t.Errorf("row %+v", n)
	}
}
