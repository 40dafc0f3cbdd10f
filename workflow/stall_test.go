package workflow_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store/sqlite"
	"github.com/volvox-os/volvox/workflow"
)

// heard tells of each line of a log that holds the text.
type heard struct {
	slog.Handler
	text string
	c    chan string
}

func (h heard) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.text) {
		select {
		case h.c <- r.Message:
		default:
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h heard) WithAttrs(a []slog.Attr) slog.Handler {
	return heard{h.Handler.WithAttrs(a), h.text, h.c}
}

// TestSlowKernel has a machine that stands still for so long that the kernel
// gives up on the record of a step. The workflow goes on with the machine.
func TestSlowKernel(t *testing.T) {
	ctx := testContext(t)
	db, err := sqlite.OpenWith(ctx, filepath.Join(t.TempDir(), "kernel.db"), sqlite.Options{ClosureLimit: time.Second / 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(ctx, workflow.Schema(), effects()); err != nil {
		t.Fatal(err)
	}
	ran := 0
	w := workflow.Define("slow", func(ctx workflow.Context, _ string) (int, error) {
		return workflow.Step(ctx, "one", func(context.Context) (int, error) { ran++; return ran, nil })
	})
	log := heard{slog.NewTextHandler(t.Output(), nil), "waits for the kernel", make(chan string, 1)}
	e, err := workflow.New(db, workflow.Options{Log: slog.New(log)}, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { crash(e) })
	workflow.PlantSlow(e)
	if err := e.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(ctx, "INSERT INTO effects (id, workflow, step) VALUES ('slow', '', '')"); err != nil {
		t.Fatal(err)
	}
	h := begin(t, e, w, "")
	receive(t, log.c)
	for { // it competes with the slow records
		_, err := db.Exec(ctx, "DELETE FROM effects")
		if err == nil {
			break
		}
		if volvox.CodeOf(err) != volvox.SlowClosure {
			t.Fatal(err)
		}
	}
	if n := result(t, h); n != 1 {
		t.Fatalf("the step ran %d times", n)
	}
}

// TestStoppedEarly asks an engine that was stopped before anything followed
// its tables.
func TestStoppedEarly(t *testing.T) {
	ctx := testContext(t)
	db := open(t)
	w := workflow.Define("w", func(workflow.Context, string) (string, error) { return "", nil })
	e := newEngine(t, db, "one", w)
	h := begin(t, e, w, "")
	if err := e.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() { _, err := h.Result(ctx); answer <- err }()
	select {
	case err := <-answer:
		if volvox.CodeOf(err) != volvox.Unavailable {
			t.Fatal(err)
		}
	case <-time.After(patience / 3):
		t.Fatal("a stopped engine does not answer")
	}
}

// TestDeafSleep cancels a workflow while it sleeps for long under
// WithoutCancel: it sleeps on, and is not called again and again.
func TestDeafSleep(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := openIn(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var calls atomic.Int64
		w := workflow.Define("w", func(ctx workflow.Context, _ string) (string, error) {
			calls.Add(1)
			return "slept", workflow.Sleep(ctx.WithoutCancel(), time.Hour)
		})
		e := start(t, db, "one", w)
		defer crash(e)
		h := begin(t, e, w, "")
		<-time.After(time.Minute) // of the bubble
		if err := e.Cancel(t.Context(), h.ID()); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if n := calls.Load(); n > 3 {
			t.Errorf("it was called %d times", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		if out, err := h.Result(ctx); out != "slept" || err != nil {
			t.Errorf("it ended with %q, %v", out, err)
		}
		if n := calls.Load(); n > 4 {
			t.Errorf("it was called %d times", n)
		}
	})
}
