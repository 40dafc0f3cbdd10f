package workflow

import (
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// run is one execution of a workflow, on a goroutine of its own. What is not
// a context or atomic belongs to that goroutine.
type run struct {
	e     *Engine
	id    string
	name  string
	input json.RawMessage
	fence int64
	again bool // it may have steps
	log   *slog.Logger

	base   context.Context // ends with a hard stop, a takeover, the end
	halt   context.CancelCauseFunc
	ctx    context.Context // of base; ends with a cancel too
	cancel context.CancelCauseFunc

	busy      atomic.Bool // a step is being taken
	replaying atomic.Bool
	recorded  []StepInfo // as read at the start
	seq       int        // of the last step taken
	cancelled bool       // the cancel has been noticed, and that is recorded
	refusals  int        // steps refused since then

	exit  exitReason
	why   error     // for exitParked
	until time.Time // for exitAsleep
	deaf  bool      // it sleeps on although it is cancelled
	end   Info      // status, output and error, when they are on disk

	done chan struct{}
}

// exitReason is why a run's goroutine was unwound from within a step.
type exitReason int

const (
	exitNone    exitReason = iota
	exitStopped            // the engine stops, or another executor took the workflow
	exitParked             // it cannot go on here: why says it
	exitRunaway            // it was cancelled and goes on taking steps
	exitAsleep             // it sleeps for long: it is called again when it wakes
)

// A cancelled workflow that has so many steps refused does not look at its
// errors; it is ended.
const maxRefusals = 1000

func newRun(e *Engine, c claimed) *run {
	r := &run{e: e, id: c.ID, name: c.Name, input: c.Input, fence: c.Fence, again: c.Fence > 1 || c.Input == nil, done: make(chan struct{})}
	ctx := volvox.WithActor(e.base, volvox.Actor("workflow:"+c.ID))
	r.base, r.halt = context.WithCancelCause(ctx)
	r.ctx, r.cancel = context.WithCancelCause(r.base)
	r.log = slog.New(replaySilent{e.log.Handler(), r}).With("workflow", c.ID, "name", c.Name)
	if c.CancelRequestedAt != nil {
		r.cancel(cancelledError(c.ID))
	}
	return r
}

// main is the goroutine. It may be unwound by runtime.Goexit from a step: the
// function's deferred calls run then, and these.
func (r *run) main() {
	var output json.RawMessage
	var err error
	returned := false
	defer r.e.retire(r)
	defer func() { r.settle(output, err, returned) }()
	if r.again {
		r.load()
	}
	err = guard("workflow "+r.name, func() (err error) {
		output, err = r.e.definitions[r.name].invoke(Context{Context: r.ctx, run: r}, r.input)
		return err
	})
	returned = true
}

// leave unwinds the goroutine: deferred calls run, nothing else does.
func (r *run) leave(exit exitReason, why error) {
	if r.exit == exitNone {
		r.exit, r.why = exit, why
	}
	runtime.Goexit()
}

// load reads the recorded steps, once, and looks whether the workflow is
// still ours.
func (r *run) load() {
	var now []claimed
	r.retry("read its steps", func() error {
		return r.e.db.View(r.base, func(tx *store.Tx) (err error) {
			if now, err = store.All[claimed](tx, `SELECT `+claimedColumns+` FROM workflows WHERE id = $1`, r.id); err != nil {
				return err
			}
			r.recorded, err = store.All[StepInfo](tx, `SELECT `+stepColumns+` FROM steps WHERE workflow = $1 ORDER BY seq`, r.id)
			return err
		})
	})
	if len(now) == 0 || now[0].Fence != r.fence || now[0].Status != Running {
		r.leave(exitStopped, nil)
	}
	r.input = now[0].Input
	if now[0].CancelRequestedAt != nil {
		r.cancel(cancelledError(r.id))
	}
	for i, s := range r.recorded {
		if s.Seq != i+1 {
			r.leave(exitParked, volvox.Errorf(volvox.Corrupt, "the steps of workflow %s have a gap before %d", r.id, s.Seq))
		}
	}
	r.replaying.Store(len(r.recorded) > 0)
}

// retry does f until the kernel answers, or the run is over. Another failure
// than a passing one parks the workflow.
func (r *run) retry(what string, f func() error) {
	wait := newBackoff()
	for {
		err := f()
		if err == nil {
			return
		}
		if r.base.Err() != nil {
			r.leave(exitStopped, nil)
		}
		if !transient(err) && !volvox.IsKind(err, volvox.KindTimeout) { // the machine may have stood still
			r.leave(exitParked, volvox.Errorf(volvox.CodeOf(err), "workflow %s cannot %s", r.id, what).From(err))
		}
		r.e.log.Error("a workflow waits for the kernel", "workflow", r.id, "doing", what, "error", err)
		if !wait.pause(r.base.Done()) {
			r.leave(exitStopped, nil)
		}
	}
}

// settle records what came of the run.
func (r *run) settle(output json.RawMessage, err error, returned bool) {
	asked := r.ctx.Err() != nil && r.base.Err() == nil
	if returned && r.exit == exitNone && r.seq < len(r.recorded) {
		r.exit, r.why = exitParked, determinism(r.id, r.seq+1, "of workflow "+r.name+" returned", r.recorded[r.seq])
	}
	switch {
	case r.exit == exitStopped || r.exit == exitAsleep:
	case r.exit == exitParked && asked:
		r.finish(Cancelled, nil, cancelledError(r.id).From(r.why))
	case r.exit == exitParked:
		r.park()
	case r.exit == exitRunaway:
		r.finish(Cancelled, nil, cancelledError(r.id).Because("it went on although %d steps were refused", r.refusals))
	case !returned:
		r.finish(Failed, nil, volvox.Errorf(volvox.Internal, "workflow %s was ended from within by runtime.Goexit", r.name))
	case err != nil && r.base.Err() != nil: // it may have failed for that; it goes on at the next Start
		r.exit = exitStopped
	case r.cancelled || asked && err != nil && isCancel(err):
		e := cancelledError(r.id)
		if err != nil && !isCancel(err) {
			e.From(err)
		}
		r.finish(Cancelled, nil, e)
	case err != nil:
		r.finish(Failed, nil, recorded(err))
	default:
		r.finish(Succeeded, output, nil)
	}
}

// finish makes the end durable, unless the workflow is no longer ours.
func (r *run) finish(s Status, output json.RawMessage, failure *volvox.Error) {
	if failure != nil {
		failure = recorded(failure)
	}
	now := time.Now()
	wait := newBackoff()
	for {
		n, err := r.e.db.Exec(named(r.base, "end "+r.name, r.id), `UPDATE workflows SET status = $3, output = $4, error = $5, ended_at = $6
			WHERE id = $1 AND fence = $2 AND status = 'Running'`, r.id, r.fence, s, output, failure, now)
		switch {
		case err == nil && n == 0:
			r.exit = exitStopped // whoever waits reads the row
			return
		case err == nil:
			r.end = Info{ID: r.id, Name: r.name, Status: s, Output: output, Error: failure, EndedAt: &now}
			r.log.Debug("workflow ended", "status", s)
			return
		case r.base.Err() != nil:
			r.exit = exitStopped
			return
		}
		r.e.log.Error("the end of a workflow cannot be recorded; trying again", "workflow", r.id, "status", s, "error", err)
		if !wait.pause(r.base.Done()) {
			r.exit = exitStopped
			return
		}
	}
}

// park leaves the workflow Running, with the reason why it does not go on.
func (r *run) park() {
	r.e.log.Error("a workflow cannot go on in this program", "workflow", r.id, "name", r.name, "error", r.why)
	_, err := r.e.db.Exec(named(r.base, "park "+r.name, r.id), `UPDATE workflows SET error = $3 WHERE id = $1 AND fence = $2 AND status = 'Running'`,
		r.id, r.fence, recorded(r.why))
	if err != nil {
		r.e.log.Error("cannot record why", "workflow", r.id, "error", err)
	}
}
