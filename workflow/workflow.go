// Package workflow runs functions that survive the death of the process that
// runs them.
package workflow

import (
	"context"
	"log/slog"
	"time"

	"github.com/volvox-os/volvox/store"
)

// Context is what a workflow gets: a context.Context that knows its workflow.
type Context struct {
	context.Context
}

// ID is the ID of the workflow.
func (c Context) ID() string { panic("not built") }

// Workflow is a defined workflow.
type Workflow[In, Out any] struct{}

// Define gives a function a name under which it can be recorded.
func Define[In, Out any](name string, f func(ctx Context, in In) (Out, error)) *Workflow[In, Out] {
	panic("not built")
}

// Definition is any *Workflow, to be registered.
type Definition interface{ Name() string }

// Name is the name given to Define.
func (w *Workflow[In, Out]) Name() string { panic("not built") }

// Engine runs workflows on a database.
type Engine struct{}

// Options of an engine.
type Options struct {
	Executor string // names this process; unique among those that run
	Log      *slog.Logger
}

// New makes an engine; db must have been migrated to Schema().
func New(db *store.DB, o Options, workflows ...Definition) (*Engine, error) { panic("not built") }

// Schema is the tables workflows and steps.
func Schema() store.Schema { panic("not built") }

// Start takes over what an earlier process left and begins to run. Twice is
// an error.
func (e *Engine) Start(ctx context.Context) error { panic("not built") }

// Stop lets no new step begin, waits for running steps until ctx ends, and
// returns; the workflows go on at the next Start. Stopping twice, or before
// Start, is allowed.
func (e *Engine) Stop(ctx context.Context) error { panic("not built") }

// Cancel asks the workflow to end; running steps see their context end.
func (e *Engine) Cancel(ctx context.Context, id string) error { panic("not built") }

// Start begins a workflow, durably, and returns its handle. The same ID with
// the same workflow and input returns the handle of the first one.
func (w *Workflow[In, Out]) Start(ctx context.Context, e *Engine, in In, o ...StartOption) (*Handle[Out], error) {
	panic("not built")
}

// StartIn is Start as part of a transaction: it begins when tx is committed,
// or never.
func (w *Workflow[In, Out]) StartIn(tx *store.Tx, e *Engine, in In, o ...StartOption) (*Handle[Out], error) {
	panic("not built")
}

// StartOption is [ID] or [About].
type StartOption interface{}

// ID gives the workflow its ID, which is its idempotency key.
func ID(id string) StartOption { panic("not built") }

// About says what the workflow is about ("cluster", "main", "shop"), so that
// it can be found.
func About(kind, project, name string) StartOption { panic("not built") }

// Handle refers to a workflow.
type Handle[Out any] struct{}

// ID is the workflow's ID.
func (h *Handle[Out]) ID() string { panic("not built") }

// Result waits for the end and returns what the workflow returned; an error
// keeps its code, cause and hints.
func (h *Handle[Out]) Result(ctx context.Context) (Out, error) { panic("not built") }

// Step runs f at least once and records what it returned, once.
func Step[T any](ctx Context, name string, f func(ctx context.Context) (T, error), o ...StepOption) (T, error) {
	panic("not built")
}

// StepOption is [Retry] or [StepTimeout].
type StepOption interface{}

// Retry repeats a failed step up to attempts times in all, waiting first and
// then twice as long each time, at most a minute. retryable nil retries
// errors whose kind is retryable.
func Retry(attempts int, first time.Duration, retryable func(error) bool) StepOption {
	panic("not built")
}

// StepTimeout ends an attempt's context after d.
func StepTimeout(d time.Duration) StepOption { panic("not built") }

// Transaction runs f exactly once: its writes and its record are one commit.
func Transaction(ctx Context, name string, f func(tx *store.Tx) error) error { panic("not built") }

// Sleep waits until d after the moment it was first called, however often the
// process dies meanwhile.
func Sleep(ctx Context, d time.Duration) error { panic("not built") }
