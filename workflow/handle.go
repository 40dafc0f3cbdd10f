package workflow

import (
	"context"
	"encoding/json"

	"github.com/volvox-os/volvox"
)

// Handle refers to a workflow.
type Handle[Out any] struct {
	e  *Engine
	id string
}

// Open returns the handle of a workflow known by its ID. Whether there is one
// is seen by Result.
func Open[Out any](e *Engine, id string) *Handle[Out] { return &Handle[Out]{e, id} }

// ID is the workflow's ID.
func (h *Handle[Out]) ID() string { return h.id }

// Result waits for the end, wherever the workflow runs, and returns what it
// returned; an error is a [*volvox.Error] with its code, cause and hints. A
// cancelled workflow gives E_CANCELLED. A workflow that cannot go on (its code
// has changed: E_DETERMINISM) gives the reason at once, though it has not
// ended. When ctx ends first, the error is E_STILL_RUNNING and wraps ctx's;
// when the engine is stopped first, E_UNAVAILABLE.
func (h *Handle[Out]) Result(ctx context.Context) (Out, error) {
	var out Out
	n, err := h.e.await(ctx, h.id)
	if err != nil {
		return out, err
	}
	if n.Error != nil {
		return out, n.Error
	}
	if err := json.Unmarshal(n.Output, &out); err != nil {
		return out, notSerializable("output of workflow "+n.Name, err)
	}
	return out, nil
}

// await returns the workflow when it has ended or does not go on.
func (e *Engine) await(ctx context.Context, id string) (Info, error) {
	e.follow()
	for {
		if n, ok := e.ranHere(ctx, id); ok {
			return n, nil
		}
		wake, forget := e.subscribe(id)
		n, err := e.Get(ctx, id)
		if err != nil || n.Status.Ended() || n.Error != nil {
			forget()
			if err != nil && ctx.Err() != nil {
				return n, stillRunning(ctx, id)
			}
			return n, err
		}
		select {
		case <-wake:
		case <-e.over:
			forget()
			return n, volvox.Errorf(volvox.Unavailable, "workflow %s has not ended", id).
				Because("its engine was stopped").WithTry("start the engine again; the workflow goes on")
		case <-ctx.Done():
			forget()
			return n, stillRunning(ctx, id)
		}
	}
}

// ranHere waits for a workflow that this engine runs; no reading is needed
// then. false: it does not run here, or went away without an end.
func (e *Engine) ranHere(ctx context.Context, id string) (Info, bool) {
	e.mu.Lock()
	r := e.runs[id]
	e.mu.Unlock()
	if r == nil {
		return Info{}, false
	}
	select {
	case <-r.done:
		return r.end, r.end.Status.Ended()
	case <-ctx.Done():
		return Info{}, false
	}
}

func stillRunning(ctx context.Context, id string) error {
	return volvox.Errorf(volvox.StillRunning, "workflow %s has not ended yet", id).From(ctx.Err()).
		WithTry("volvox sql \"SELECT id, name, status, error FROM workflows WHERE id = '%s'\"", id)
}

// subscribe returns a channel that is closed when the workflow may have ended.
func (e *Engine) subscribe(id string) (wake <-chan struct{}, forget func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.waiters[id]
	if w == nil {
		w = &waiter{wake: make(chan struct{})}
		e.waiters[id] = w
	}
	w.n++
	return w.wake, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if w.n--; w.n == 0 && e.waiters[id] == w {
			delete(e.waiters, id)
		}
	}
}

// waiter is those who wait for one workflow.
type waiter struct {
	wake chan struct{}
	n    int
}

// wake lets those who wait for the workflow look again.
func (e *Engine) wake(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w := e.waiters[id]; w != nil {
		close(w.wake)
		delete(e.waiters, id)
	}
}

func (e *Engine) wakeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, w := range e.waiters {
		close(w.wake)
		delete(e.waiters, id)
	}
}
