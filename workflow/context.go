package workflow

import (
	"context"
	"log/slog"
)

// Context is what a workflow gets: a context.Context that knows its workflow.
// It ends when the workflow is cancelled. It belongs to the goroutine that
// the function was called on: steps are taken there, one after the other,
// never from another goroutine.
type Context struct {
	context.Context
	run      *run
	detached bool
}

// ID is the ID of the workflow.
func (c Context) ID() string { return c.run.id }

// Log is a logger that knows the workflow, and is silent while recorded steps
// are replayed: each line is written once, or again if the process died
// before the next step was recorded.
func (c Context) Log() *slog.Logger { return c.run.log }

// WithoutCancel returns a Context for undoing: [Cancel] does not end it, and
// steps under it are run and recorded although the workflow was cancelled.
// The end of the process ends them as it ends any step; they go on with the
// workflow.
func (c Context) WithoutCancel() Context {
	return Context{Context: c.run.base, run: c.run, detached: true}
}

// replaySilent keeps a handler quiet while its run replays.
type replaySilent struct {
	slog.Handler
	run *run
}

func (h replaySilent) Enabled(ctx context.Context, l slog.Level) bool {
	return !h.run.replaying.Load() && h.Handler.Enabled(ctx, l)
}

func (h replaySilent) WithAttrs(a []slog.Attr) slog.Handler {
	return replaySilent{h.Handler.WithAttrs(a), h.run}
}

func (h replaySilent) WithGroup(name string) slog.Handler {
	return replaySilent{h.Handler.WithGroup(name), h.run}
}
